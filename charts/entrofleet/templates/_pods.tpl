{{/*
Takes (dict "root" $ "account" name "hasToken" bool "priorityClassName" name). A pod that needs no
API server gets no token, and none gets the environment of all services.
*/}}
{{- define "entrofleet.podSettings" -}}
serviceAccountName: {{ .account | default (include "entrofleet.fullname" .root) }}
automountServiceAccountToken: {{ .hasToken | default false }}
enableServiceLinks: false
{{- with concat .root.Values.global.imagePullSecrets .root.Values.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Takes the numeric user id. */}}
{{- define "entrofleet.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "entrofleet.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}

{{/* Takes values with nodeSelector, tolerations and affinity: where a pod may run. */}}
{{- define "entrofleet.placement" -}}
{{- range $name := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $ $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Takes (dict "own" yaml "extra" list). A variable of the values replaces one of the chart, because
server-side apply refuses a name that comes twice.
*/}}
{{- define "entrofleet.env" -}}
{{- $replaced := dict }}
{{- range .extra }}{{ $_ := set $replaced .name true }}{{ end }}
{{- $env := list }}
{{- range fromYamlArray .own }}
{{- if not (hasKey $replaced .name) }}{{ $env = append $env . }}{{ end }}
{{- end }}
{{- toYaml (concat $env .extra) }}
{{- end -}}

{{/* The certificates that clients trust beside Node's own; empty: no more than those. */}}
{{- define "entrofleet.caVolume" -}}
{{- if .Values.caSecret.name }}
- name: ca
  secret:
    secretName: {{ .Values.caSecret.name }}
    items: [{ key: {{ .Values.caSecret.key }}, path: ca.crt }]
{{- else if and .Values.mosquitto.bundled .Values.mosquitto.tls.enabled }}
# The certificate alone: the broker's key stays with the broker.
- name: ca
  secret:
    secretName: {{ include "entrofleet.mosquittoTlsSecret" . }}
    items: [{ key: ca.crt, path: ca.crt }]
{{- end }}
{{- end -}}

{{- define "entrofleet.mosquittoTlsSecret" -}}
{{- .Values.mosquitto.tls.existingSecret | default (printf "%s-mosquitto-tls" (include "entrofleet.fullname" .)) -}}
{{- end -}}

{{/* Takes a container's resources. As texts, because server-side apply takes no numbers. */}}
{{- define "entrofleet.resources" -}}
{{- $resources := dict }}
{{- range $kind, $quantities := . }}
{{- $texts := dict }}
{{- range $name, $quantity := $quantities }}{{ $_ := set $texts $name (toString $quantity) }}{{ end }}
{{- $_ := set $resources $kind $texts }}
{{- end }}
{{- toYaml $resources }}
{{- end -}}
