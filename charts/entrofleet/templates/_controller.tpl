{{/* Parts that run the program of the controller: one, or one for each role; as YAML. */}}
{{- define "entrofleet.controllerParts" -}}
{{- if .Values.controller.enabled -}}
{{- eq .Values.mode "split" | ternary "[api, worker, distributor, reconciler]" "[controller]" -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{/*
Takes (dict "root" $ "part" "worker"). The part's settings as YAML: what the part leaves empty comes
from "controller"; labels, annotations and variables of both hold.
*/}}
{{- define "entrofleet.partSettings" -}}
{{- $shared := .root.Values.controller }}
{{- $part := eq .part "controller" | ternary dict (get .root.Values.split .part | default dict) }}
{{- $settings := dict }}
{{- range $name := list "resources" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- $_ := set $settings $name (get $part $name | default (get $shared $name)) }}
{{- end }}
{{- range $name := list "podLabels" "podAnnotations" }}
{{- $_ := set $settings $name (merge (dict) (get $part $name | default dict) (get $shared $name)) }}
{{- end }}
{{- $partEnv := get $part "extraEnv" | default list }}
{{- $_ := set $settings "extraEnv" (fromYamlArray (include "entrofleet.env" (dict "own" (toYaml $shared.extraEnv) "extra" $partEnv))) }}
{{- $_ := set $settings "priorityClassName" (get $part "priorityClassName" | default .root.Values.priorityClassName) }}
{{- toYaml $settings }}
{{- end -}}

{{/* Takes (dict "root" $ "part" "worker"). Number of processes; empty where an autoscaler decides. */}}
{{- define "entrofleet.partReplicas" -}}
{{- if eq .part "controller" -}}
{{ .root.Values.controller.replicas }}
{{- else if not (and (eq .part "worker") .root.Values.split.worker.autoscaling.enabled) -}}
{{ (get .root.Values.split .part).replicas }}
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" $ "part" "worker"). Not empty where the part reconciles custom resources. */}}
{{- define "entrofleet.hasKubernetesRole" -}}
{{- if and .root.Values.kubernetes.enabled (eq .part (include "entrofleet.reconcilerPart" .root)) -}}
true
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" $ "part" "worker"). */}}
{{- define "entrofleet.controllerEnv" -}}
{{- $roles := eq .part "controller" | ternary "all" .part }}
{{- if include "entrofleet.hasKubernetesRole" . }}{{ $roles = printf "%s,kubernetes" $roles }}{{ end }}
{{- with .root.Values.controller -}}
- { name: HOST, value: 0.0.0.0 }
- { name: PORT, value: '8080' }
- { name: ENTROFLEET_DATA_DIR, value: /var/lib/entrofleet }
- { name: ENTROFLEET_ROLES, value: {{ $roles | quote }} }
- { name: LOG_LEVEL, value: {{ .logLevel | quote }} }
- { name: SHUTDOWN_TIMEOUT_SECONDS, value: {{ .shutdownTimeoutSeconds | quote }} }
{{- if eq $.part (include "entrofleet.apiPart" $.root) }}
- { name: SHUTDOWN_DELAY_SECONDS, value: {{ .shutdownDelaySeconds | quote }} }
{{- end }}
- { name: SWEEP_INTERVAL_SECONDS, value: {{ .sweepIntervalSeconds | quote }} }
- { name: REPORT_INTERVAL_SECONDS, value: {{ $.root.Values.agent.reportIntervalSeconds | quote }} }
- { name: DATABASE_POOL_SIZE, value: {{ .databasePoolSize | quote }} }
- { name: COMPRESSION_CONCURRENCY, value: {{ .compression.concurrency | quote }} }
- { name: COMPRESSION_THREADS, value: {{ .compression.threads | quote }} }
{{- end }}
{{- if include "entrofleet.hasKubernetesRole" . }}
{{- with .root.Values.kubernetes }}
- { name: KUBERNETES_NAMESPACE, value: {{ $.root.Release.Namespace | quote }} }
- { name: KUBERNETES_LEASE, value: {{ include "entrofleet.leaseName" $.root | quote }} }
- { name: KUBERNETES_LEASE_SECONDS, value: {{ .leaseSeconds | quote }} }
- { name: KUBERNETES_RESYNC_SECONDS, value: {{ .resyncSeconds | quote }} }
- { name: KUBERNETES_STATUS_INTERVAL_SECONDS, value: {{ .statusIntervalSeconds | quote }} }
{{- end }}
{{- end }}
{{ include "entrofleet.databaseEnv" .root }}
{{ include "entrofleet.redisEnv" .root }}
{{ include "entrofleet.mqttEnv" .root }}
{{- end -}}

{{/*
Takes (dict "root" $ "part" "worker"). Pods of two versions may overlap only where they can share the
volume, and where an election keeps the second reconciler still.
*/}}
{{- define "entrofleet.controllerStrategy" -}}
{{- $canShare := eq .root.Values.controller.persistence.accessMode "ReadWriteMany" }}
{{- $mayOverlap := or .root.Values.kubernetes.enabled (ne .part (include "entrofleet.reconcilerPart" .root)) }}
{{- if and $canShare $mayOverlap -}}
type: RollingUpdate
rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
{{- else -}}
type: Recreate
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" $ "part" "worker"). */}}
{{- define "entrofleet.topologySpread" -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" (fromYaml (include "entrofleet.selectorLabels" .))) }}
{{- range .constraints }}
- {{ toYaml (merge (dict) . $selector) | nindent 2 | trim }}
{{- end }}
{{- end -}}
