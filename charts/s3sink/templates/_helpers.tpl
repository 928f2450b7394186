{{/* Names, labels and images that several templates share. */}}

{{- define "s3sink.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "s3sink.operator" -}}
{{ include "s3sink.fullname" . }}-operator
{{- end -}}

{{/* Objects without a namespace carry the release's in their name, so that teams can have an operator each. */}}
{{- define "s3sink.clusterName" -}}
{{ include "s3sink.fullname" . }}:{{ .Release.Namespace }}
{{- end -}}

{{- define "s3sink.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "s3sink.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Never changes: a Deployment's selector can't. The name tells the operator's pods from those of a sink. */}}
{{- define "s3sink.selector" -}}
app.kubernetes.io/name: s3sink-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "s3sink.labels" -}}
{{ include "s3sink.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: s3sink
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Takes registry, repository, tag and digest. */}}
{{- define "s3sink.image" -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end -}}
{{- end -}}

{{- define "s3sink.operatorImage" -}}
{{- $i := .Values.image -}}
{{- include "s3sink.image" (dict "registry" $i.registry "repository" $i.repository "digest" $i.digest
      "tag" (default .Chart.AppVersion $i.tag)) -}}
{{- end -}}

{{- define "s3sink.ingesterImage" -}}
{{- $i := .Values.ingesterImage -}}
{{- include "s3sink.image" (dict "registry" (default .Values.image.registry $i.registry) "repository" $i.repository
      "digest" $i.digest "tag" (default .Chart.AppVersion $i.tag)) -}}
{{- end -}}

{{/* "true" or nothing. What no schema can say is refused here, in words. */}}
{{- define "s3sink.leaderElection" -}}
{{- $several := gt (int .Values.replicas) 1 -}}
{{- if and $several (eq .Values.leaderElection "Disabled") -}}
{{- fail (printf "\n\nreplicas is %d and leaderElection is Disabled: operators would work against each other. Set leaderElection to Auto, or replicas to 1." (int .Values.replicas)) -}}
{{- end -}}
{{- if or (eq .Values.leaderElection "Enabled") $several }}true{{ end -}}
{{- end -}}
