{{/*
What the operator may do, and nothing else: the same rules in a ClusterRole, or in a Role of each watched namespace.
Server-side apply takes create and patch, never update. tests/cluster runs the operator with just these.
*/}}
{{- define "s3sink.rules" -}}
# The sinks themselves. patch: the finalizer.
- apiGroups: [s3sink.dev]
  resources: [s3sinks]
  verbs: [get, list, watch, patch]
- apiGroups: [s3sink.dev]
  resources: [s3sinks/status]
  verbs: [patch]
# To own children that block a sink's deletion in the foreground.
- apiGroups: [s3sink.dev]
  resources: [s3sinks/finalizers]
  verbs: [update]
# Children that go by themselves with their sink.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
# Children that a sink may come not to want, or that outlive it for a while.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.rbac.serviceMonitors }}
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
# Pods are asked over HTTP how they are; nothing is executed in them. delete: where a file system grows only when it
# is mounted again, and when a sink that is being deleted has lost its StatefulSet.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
# Volumes are created by the StatefulSet; the operator marks them, and deletes those that are drained.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
# Only Secrets that an S3Sink names are read, one by one: no list, no watch.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
