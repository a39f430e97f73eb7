{{/* Environment of the database's and the queue's address, for the controller. */}}
{{- define "entrofleet.databaseEnv" -}}
{{- if .Values.postgresql.bundled }}
- name: POSTGRESQL_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "entrofleet.secretName" . }}, key: postgresql-password } }
- name: DATABASE_URL
  value: postgresql://entrofleet:$(POSTGRESQL_PASSWORD)@{{ include "entrofleet.fullname" . }}-postgresql:5432/entrofleet
{{- else if .Values.postgresql.urlSecret.name }}
- name: DATABASE_URL
  valueFrom: { secretKeyRef: { name: {{ .Values.postgresql.urlSecret.name }}, key: {{ .Values.postgresql.urlSecret.key }} } }
{{- else }}
- name: DATABASE_URL
  value: {{ .Values.postgresql.externalUrl | quote }}
{{- end }}
{{- end -}}

{{- define "entrofleet.redisEnv" -}}
{{- if .Values.redis.bundled }}
- name: REDIS_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "entrofleet.secretName" . }}, key: redis-password } }
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "entrofleet.fullname" . }}-redis:6379
{{- else if .Values.redis.urlSecret.name }}
- name: REDIS_URL
  valueFrom: { secretKeyRef: { name: {{ .Values.redis.urlSecret.name }}, key: {{ .Values.redis.urlSecret.key }} } }
{{- else }}
- name: REDIS_URL
  value: {{ .Values.redis.externalUrl | quote }}
{{- end }}
{{- end -}}
