{{- define "extsync.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
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

{{/* The settings file: those of the values, and what follows from the rights that are not given. */}}
{{- define "extsync.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
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
