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

{{/* Takes (dict "root" $ "part" "controller"). Labels of an object. */}}
{{- define "entrofleet.labels" -}}
{{- $own := fromYaml (include "entrofleet.selectorLabels" .) }}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- toYaml (merge $own .root.Values.commonLabels) }}
{{- end -}}

{{/*
Takes (dict "root" $ "part" "controller" "extra" (list of maps)). Labels of a pod: without the chart's
version, which would restart every pod on every upgrade.
*/}}
{{- define "entrofleet.podLabels" -}}
{{- $own := fromYaml (include "entrofleet.selectorLabels" .) }}
{{- range .extra }}{{ $own = merge $own . }}{{ end }}
{{- toYaml (merge $own .root.Values.commonLabels) }}
{{- end -}}

{{- define "entrofleet.secretName" -}}
{{- .Values.existingSecret | default (printf "%s-credentials" (include "entrofleet.fullname" .)) -}}
{{- end -}}

{{- define "entrofleet.kubernetesAccount" -}}
{{- .Values.kubernetes.serviceAccount.name | default (printf "%s-kubernetes" (include "entrofleet.fullname" .)) -}}
{{- end -}}

{{- define "entrofleet.leaseName" -}}
{{- .Values.kubernetes.leaseName | default (include "entrofleet.fullname" .) -}}
{{- end -}}

{{/* The part whose pods answer the REST interface. */}}
{{- define "entrofleet.apiPart" -}}
{{- eq .Values.mode "split" | ternary "api" "controller" -}}
{{- end -}}

{{/* The part whose pods reconcile, and hold the role kubernetes. */}}
{{- define "entrofleet.reconcilerPart" -}}
{{- eq .Values.mode "split" | ternary "reconciler" "controller" -}}
{{- end -}}

{{/* Takes (dict "root" $ "image" .image). The chart's own images have the tag of its appVersion. */}}
{{- define "entrofleet.image" -}}
{{- $registry := .image.registry | default .root.Values.global.imageRegistry }}
{{- $name := printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) }}
{{- if $registry }}{{ $name = printf "%s/%s" $registry $name }}{{ end }}
{{- if .image.digest }}{{ $name = printf "%s@%s" $name .image.digest }}{{ end }}
{{- $name | quote }}
{{- end -}}
