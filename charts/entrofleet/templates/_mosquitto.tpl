{{/* The broker's configuration: its listener, then what both have. */}}
{{- define "entrofleet.mosquittoConfig" -}}
{{- if .Values.mosquitto.tls.enabled -}}
listener 8883
certfile /mosquitto/tls/tls.crt
keyfile /mosquitto/tls/tls.key
tls_version tlsv1.2
{{- else -}}
listener 1883
{{- end }}
{{ .Files.Get "files/mosquitto.conf" }}
{{- end -}}
