{{/*
Environment of the addresses of database, queue and broker. Each takes the root. A URL with a password
is put together by Kubernetes, so that no object but the secret holds one.
*/}}
{{- define "entrofleet.databaseEnv" -}}
{{- if .Values.postgresql.bundled -}}
- name: POSTGRESQL_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "entrofleet.secretName" . }}, key: postgresql-password } }
- name: DATABASE_URL
  value: postgresql://entrofleet:$(POSTGRESQL_PASSWORD)@{{ include "entrofleet.fullname" . }}-postgresql:5432/entrofleet
{{- else }}
{{- include "entrofleet.externalEnv" (dict "name" "DATABASE_URL" "backend" .Values.postgresql) }}
{{- end }}
{{- end -}}

{{- define "entrofleet.redisEnv" -}}
{{- if .Values.redis.bundled -}}
- name: REDIS_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "entrofleet.secretName" . }}, key: redis-password } }
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "entrofleet.fullname" . }}-redis:6379
{{- else }}
{{- include "entrofleet.externalEnv" (dict "name" "REDIS_URL" "backend" .Values.redis) }}
{{- end }}
{{- end -}}

{{/* For controller and agent alike, with what they trust. */}}
{{- define "entrofleet.mqttEnv" -}}
{{- if .Values.mosquitto.bundled -}}
- name: MQTT_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "entrofleet.secretName" . }}, key: mqtt-password } }
- name: MQTT_URL
  value: {{ include "entrofleet.mosquittoScheme" . }}://entrofleet:$(MQTT_PASSWORD)@{{ include "entrofleet.mosquittoAddress" . }}
{{- else }}
{{- include "entrofleet.externalEnv" (dict "name" "MQTT_URL" "backend" .Values.mosquitto) }}
{{- end }}
{{- if include "entrofleet.caVolume" . }}
- name: NODE_EXTRA_CA_CERTS
  value: /etc/entrofleet/ca/ca.crt
{{- end }}
{{- end -}}

{{- define "entrofleet.externalEnv" -}}
- name: {{ .name }}
{{- if .backend.urlSecret.name }}
  valueFrom: { secretKeyRef: { name: {{ .backend.urlSecret.name }}, key: {{ .backend.urlSecret.key }} } }
{{- else }}
  value: {{ .backend.externalUrl | quote }}
{{- end }}
{{- end -}}

{{- define "entrofleet.mosquittoScheme" -}}
{{- .Values.mosquitto.tls.enabled | ternary "mqtts" "mqtt" -}}
{{- end -}}

{{- define "entrofleet.mosquittoServicePort" -}}
{{- .Values.mosquitto.tls.enabled | ternary .Values.mosquitto.service.tlsPort .Values.mosquitto.service.port -}}
{{- end -}}

{{- define "entrofleet.mosquittoPort" -}}
{{- .Values.mosquitto.tls.enabled | ternary 8883 1883 -}}
{{- end -}}

{{- define "entrofleet.mosquittoAddress" -}}
{{ include "entrofleet.fullname" . }}-mosquitto:{{ include "entrofleet.mosquittoServicePort" . }}
{{- end -}}
