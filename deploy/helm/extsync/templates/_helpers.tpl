{{- define "extsync.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "extsync.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "extsync.labels" -}}
{{ include "extsync.selector" . }}
app.kubernetes.io/part-of: extsync
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "extsync.account" -}}
{{- $own := ternary (include "extsync.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{- define "extsync.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that contradict each other, and those that the chart sets by itself. */}}
{{- define "extsync.refuse" -}}
{{- $settings := default dict .Values.settings -}}
{{- if and .Values.manifests .Values.existingConfigMap -}}
{{- fail "manifests and existingConfigMap: only one of them is mounted, so give one" -}}
{{- end -}}
{{- if and (not .Values.leaderElection) (gt (int .Values.replicas) 1) -}}
{{- fail "replicas: without leaderElection there must be one replica only, since two would write over each other" -}}
{{- end -}}
{{- if and (not .Values.leaderElection) (gt (int $settings.shards) 1) -}}
{{- fail "settings.shards: shards are shared out by leaderElection, which is false" -}}
{{- end -}}
{{- $elsewhere := dict
  "fileRoots" "it is /etc/extsync; `secrets` mounts files below that"
  "leaderElection" "say leaderElection beside settings"
  "leaseNamespace" "it is the namespace of the release"
  "listen" "it is port 9440 on all addresses; service.port is another number for the Service"
  "manifestVariables" "it is EXTSYNC_SECRET_*: name the variables in `env` so"
  "namespaces" "say rbac.namespaces, which gives the rights as well" -}}
{{- range $key, $cure := $elsewhere -}}
{{- if hasKey $settings $key -}}
{{- fail (printf "settings.%s: the chart sets it: %s" $key $cure) -}}
{{- end -}}
{{- $variable := printf "EXTSYNC_%s" (snakecase $key | upper) -}}
{{- range $.Values.env -}}
{{- if eq .name $variable -}}
{{- fail (printf "env: %s: the chart sets it: %s" $variable $cure) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := fromYaml (include "extsync.selector" .) -}}
{{- if hasKey (default dict $.Values.podLabels) $key -}}
{{- fail (printf "podLabels: %s: the chart sets it, and selects the pods by it" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The settings file: those of the values, and what follows from the rights that are not given. */}}
{{- define "extsync.settings" -}}
{{- $settings := deepCopy (default dict .Values.settings) -}}
{{- if not .Values.rbac.clusterRanges -}}
{{- $settings = merge $settings (dict "clusterRanges" "Settings") -}}
{{- end -}}
{{- with .Values.rbac.namespaces -}}
{{- $settings = merge $settings (dict "namespaces" .) -}}
{{- end -}}
{{- if $settings -}}
{{- toYaml $settings -}}
{{- end -}}
{{- end -}}

{{/* What it may do with the objects of Services. */}}
{{- define "extsync.rules" -}}
# Services that a manifest describes with spec.service. Where all of them exist already, the first three verbs do.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# The slices name their Service as owner with blockOwnerDeletion, which OwnerReferencesPermissionEnforcement checks.
- apiGroups: [""]
  resources: [services/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [endpoints]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, update, delete]
# What happens to a Service is told in events on it.
- apiGroups: [""]
  resources: [events]
  verbs: [create, update]
{{- if .Values.rbac.pods }}
# The source `pods` alone.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{/* What it may read of the cluster itself, so that no address of it is published. */}}
{{- define "extsync.clusterRules" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [servicecidrs]
  verbs: [get, list, watch]
{{- end -}}
