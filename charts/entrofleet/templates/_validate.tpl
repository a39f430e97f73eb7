{{/* What no schema can say: values that do not go together. Every message says what to change. */}}
{{- define "entrofleet.validate" -}}
{{- if not (regexMatch "^[a-z]" (include "entrofleet.fullname" .)) }}
{{- fail (printf "%s cannot be the name of a service, because it does not begin with a letter: set fullnameOverride" (include "entrofleet.fullname" .)) }}
{{- end }}
{{- include "entrofleet.validateReplicas" . }}
{{- include "entrofleet.validateAutoscaling" . }}
{{- if and (not .Values.controller.enabled) .Values.mosquitto.bundled }}
{{- fail "controller.enabled is false, so the broker is another one: set mosquitto.bundled to false, and mosquitto.externalUrl or mosquitto.urlSecret" }}
{{- end }}
{{- if not (or .Values.controller.enabled .Values.agent.enabled) }}
{{- fail "controller.enabled and agent.enabled are false, so there is nothing to install: set one of them to true" }}
{{- end }}
{{- range $name := list "postgresql" "redis" "mosquitto" }}
{{- include "entrofleet.validateBackend" (dict "name" $name "backend" (get $.Values $name)) }}
{{- end }}
{{- include "entrofleet.validateTls" .Values.mosquitto }}
{{- if ge (int .Values.controller.shutdownDelaySeconds) (int .Values.controller.shutdownTimeoutSeconds) }}
{{- fail (printf "controller.shutdownDelaySeconds is %d, part of shutdownTimeoutSeconds, which is only %d: make it less" (int .Values.controller.shutdownDelaySeconds) (int .Values.controller.shutdownTimeoutSeconds)) }}
{{- end }}
{{- with .Values.kubernetes.serviceAccount }}
{{- if and (not .create) (not .name) }}
{{- fail "kubernetes.serviceAccount.create is false: name the account that exists in kubernetes.serviceAccount.name" }}
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled is true: name at least one host in ingress.hosts" }}
{{- end }}
{{- end -}}

{{- define "entrofleet.validateReplicas" -}}
{{- $isForOne := ne .Values.controller.persistence.accessMode "ReadWriteMany" }}
{{- if and (eq .Values.mode "split") $isForOne }}
{{- fail (printf "mode is split, so several pods mount the volume of artifacts, but controller.persistence.accessMode is %s: set it to ReadWriteMany, with a storage class that can do it, or set mode to all" .Values.controller.persistence.accessMode) }}
{{- end }}
{{- $replicas := int .Values.controller.replicas }}
{{- if and (eq .Values.mode "all") (gt $replicas 1) }}
{{- if $isForOne }}
{{- fail (printf "controller.replicas is %d, so several pods mount the volume of artifacts, but controller.persistence.accessMode is %s: set it to ReadWriteMany, with a storage class that can do it, or controller.replicas to 1" $replicas .Values.controller.persistence.accessMode) }}
{{- end }}
{{- if not .Values.kubernetes.enabled }}
{{- fail (printf "controller.replicas is %d, and only the role kubernetes elects which of them plans rollouts: set kubernetes.enabled to true, or controller.replicas to 1" $replicas) }}
{{- end }}
{{- end }}
{{- $reconcilers := int .Values.split.reconciler.replicas }}
{{- if and (eq .Values.mode "split") (gt $reconcilers 1) (not .Values.kubernetes.enabled) }}
{{- fail (printf "split.reconciler.replicas is %d, and only the role kubernetes elects which of them plans rollouts: set kubernetes.enabled to true, or split.reconciler.replicas to 1" $reconcilers) }}
{{- end }}
{{- end -}}

{{- define "entrofleet.validateAutoscaling" -}}
{{- with .Values.split.worker.autoscaling }}
{{- if .enabled }}
{{- if ne $.Values.mode "split" }}
{{- fail "split.worker.autoscaling.enabled is true, but only mode split has workers of their own: set mode to split" }}
{{- end }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "split.worker.autoscaling.minReplicas is %d, more than maxReplicas, %d" (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes (dict "name" "redis" "backend" .Values.redis). */}}
{{- define "entrofleet.validateBackend" -}}
{{- $name := .name }}
{{- with .backend }}
{{- $isGiven := or .externalUrl .urlSecret.name }}
{{- if and .bundled $isGiven }}
{{- fail (printf "%s.bundled is true, but %s.externalUrl or %s.urlSecret names another one: set %s.bundled to false to use that" $name $name $name $name) }}
{{- end }}
{{- if and (not .bundled) (not $isGiven) }}
{{- fail (printf "%s.bundled is false: set %s.externalUrl or %s.urlSecret" $name $name $name) }}
{{- end }}
{{- if and .externalUrl .urlSecret.name }}
{{- fail (printf "%s.externalUrl and %s.urlSecret are both set: leave one of them empty" $name $name) }}
{{- end }}
{{- if and .urlSecret.name (not .urlSecret.key) }}
{{- fail (printf "%s.urlSecret.name is set: set %s.urlSecret.key to the key that holds the URL" $name $name) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes .Values.mosquitto. */}}
{{- define "entrofleet.validateTls" -}}
{{- if .tls.enabled }}
{{- if not .bundled }}
{{- fail "mosquitto.tls is of the bundled broker, but mosquitto.bundled is false: use a URL that begins with mqtts://, and caSecret" }}
{{- end }}
{{- if and .tls.existingSecret .tls.certificate.enabled }}
{{- fail "mosquitto.tls.existingSecret is set and mosquitto.tls.certificate.enabled is true: choose one of them" }}
{{- end }}
{{- if not (or .tls.existingSecret .tls.certificate.enabled) }}
{{- fail "mosquitto.tls.enabled is true: set mosquitto.tls.existingSecret, or mosquitto.tls.certificate.enabled for cert-manager" }}
{{- end }}
{{- end }}
{{- if .tls.certificate.enabled }}
{{- if not .tls.enabled }}
{{- fail "mosquitto.tls.certificate.enabled is true, but mosquitto.tls.enabled is false: set that too" }}
{{- end }}
{{- if not .tls.certificate.issuerRef.name }}
{{- fail "mosquitto.tls.certificate.enabled is true: name its issuer in mosquitto.tls.certificate.issuerRef.name" }}
{{- end }}
{{- end }}
{{- end -}}
