{{/* Takes (dict "root" $ "name" "api"). What comes before a policy's spec. */}}
{{- define "entrofleet.networkPolicy" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "entrofleet.fullname" .root }}-{{ .name }}
  labels:
    {{- include "entrofleet.labels" (dict "root" .root "part" "network-policy") | nindent 4 }}
{{- end -}}

{{- define "entrofleet.releaseLabels" -}}
app.kubernetes.io/name: entrofleet
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "entrofleet.programLabels" -}}
{{ include "entrofleet.releaseLabels" . }}
entrofleet.io/program: controller
{{- end -}}

{{- define "entrofleet.dnsEgress" -}}
- ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
{{- end -}}

{{- define "entrofleet.mosquittoEgress" -}}
{{- include "entrofleet.backendEgress" (dict "root" . "part" "mosquitto" "port" (include "entrofleet.mosquittoPort" .) "usual" (list 1883 8883)) }}
{{- end -}}

{{/*
Takes (dict "root" $ "part" "redis" "port" 6379 "usual" (list 6379)). To the bundled pod, or anywhere
by the port of the external URL: its address may be any.
*/}}
{{- define "entrofleet.backendEgress" -}}
{{- $backend := get .root.Values .part }}
{{- if $backend.bundled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "entrofleet.selectorLabels" (dict "root" .root "part" .part) | nindent 10 }}
  ports: [{ port: {{ .port }}, protocol: TCP }]
{{- else }}
{{- $ports := .usual }}
{{- with $backend.externalUrl }}
{{- with regexFind ":[0-9]+$" (urlParse .).host }}{{ $ports = list (trimPrefix ":" .) }}{{ end }}
{{- end -}}
- ports:
    {{- range $ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end }}
{{- end -}}
