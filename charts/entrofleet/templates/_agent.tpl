{{- define "entrofleet.agentEnv" -}}
{{- with .Values.agent -}}
- name: ENTROFLEET_DEVICE
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
- name: ENTROFLEET_LABELS
  value: {{ $pairs := list }}{{ range $key, $value := .labels }}{{ $pairs = append $pairs (printf "%s=%s" $key $value) }}{{ end }}{{ join "," $pairs | quote }}
- { name: ENTROFLEET_DATA_DIR, value: /var/lib/entrofleet-agent }
- { name: HOST, value: 0.0.0.0 }
- { name: PORT, value: '8081' }
{{- if .threads }}
- { name: THREADS, value: {{ .threads | quote }} }
{{- end }}
- { name: REPORT_INTERVAL_SECONDS, value: {{ .reportIntervalSeconds | quote }} }
- { name: LOG_LEVEL, value: {{ .logLevel | quote }} }
{{- end }}
{{ include "entrofleet.mqttEnv" . }}
{{- end -}}
