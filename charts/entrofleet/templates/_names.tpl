{{- define "entrofleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" $ "part" "controller"). Labels that select a part's pods; they never change. */}}
{{- define "entrofleet.selectorLabels" -}}
app.kubernetes.io/name: entrofleet
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "entrofleet.labels" -}}
{{ include "entrofleet.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "entrofleet.secretName" -}}
{{- .Values.existingSecret | default (printf "%s-credentials" (include "entrofleet.fullname" .)) -}}
{{- end -}}

{{- define "entrofleet.image" -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) | quote }}
{{- end -}}

{{- define "entrofleet.podSettings" -}}
serviceAccountName: {{ include "entrofleet.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
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

{{/* Environment of the broker's address, for controller and agent alike. */}}
{{- define "entrofleet.mqttEnv" -}}
{{- if .Values.mosquitto.bundled }}
- name: MQTT_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "entrofleet.secretName" . }}, key: mqtt-password } }
- name: MQTT_URL
  value: mqtt://entrofleet:$(MQTT_PASSWORD)@{{ include "entrofleet.fullname" . }}-mosquitto:{{ .Values.mosquitto.service.port }}
{{- else if .Values.mosquitto.urlSecret.name }}
- name: MQTT_URL
  valueFrom: { secretKeyRef: { name: {{ .Values.mosquitto.urlSecret.name }}, key: {{ .Values.mosquitto.urlSecret.key }} } }
{{- else }}
- name: MQTT_URL
  value: {{ .Values.mosquitto.externalUrl | quote }}
{{- end }}
{{- end -}}
