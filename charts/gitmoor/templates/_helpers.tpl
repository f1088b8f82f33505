{{- /* Names are fixed: the webhook configurations and what the processes write are one of a kind in a cluster. */ -}}

{{- define "gitmoor.labels" -}}
app.kubernetes.io/name: gitmoor
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: gitmoor
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Labels or annotations beside those that the chart makes, which none may replace: Pods are found by them, and YAML that has a key
       twice is none. Takes (root, name of the value, what the value holds, the keys that are the chart's beside its labels). */ -}}
{{- define "gitmoor.beside" -}}
{{- $name := index . 1 }}{{ $own := concat (index . 3) (include "gitmoor.labels" (index . 0) | fromYaml | keys | sortAlpha) }}
{{- range $key, $_ := index . 2 }}
{{- if has $key $own }}{{ fail (printf "%s: %s is the chart's own, and cannot be set" $name $key) }}{{ end }}
{{- end }}
{{- toYaml (index . 2) }}
{{- end }}

{{- /* Selects the Pods of a component: a process with topology split, "all" with sidecar. Takes (root, component). */ -}}
{{- define "gitmoor.selector" -}}
app.kubernetes.io/name: gitmoor
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* The component whose Pods hold a process. Takes (root, process). */ -}}
{{- define "gitmoor.component" -}}
{{- if eq (index . 0).Values.topology "split" }}{{ index . 1 }}{{ else }}all{{ end }}
{{- end }}

{{- /* What there is to deploy: (root) → {components: [{name, workload, replicas, processes, …}]}. */ -}}
{{- define "gitmoor.components" -}}
{{- $processes := list "fetcher" "differ" "applier" "admission" }}
components:
{{- if eq .Values.topology "split" }}
{{- range $processes }}
  - {name: {{ . }}, workload: gitmoor-{{ . }}, processes: [{{ . }}]}
{{- end }}
{{- else }}
  - {name: all, workload: gitmoor, processes: [{{ join ", " $processes }}]}
{{- end }}
{{- end }}

{{- /* Who talks to whom (ARCHITECTURE.md, "Links"): process → its peers, process → the links whose keys it holds. */ -}}
{{- define "gitmoor.links" -}}
peers:
  fetcher: [differ]
  differ: [fetcher, applier, admission]
  applier: [differ]
  admission: [differ]
keys:
  fetcher: [fetcher-differ]
  differ: [fetcher-differ, differ-applier, admission-differ]
  applier: [differ-applier]
  admission: [admission-differ]
ports: {fetcher: 9401, differ: 9402, applier: 9403, admission: 9404}
{{- end }}

{{- define "gitmoor.image" -}}
{{- $image := (index . 0).Values.image }}{{ $name := index . 1 }}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}/{{ $name }}
{{- with index $image.digests $name }}@{{ . }}{{ else }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "gitmoor.applierUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:gitmoor-applier
{{- end }}

{{- define "gitmoor.defaultServiceAccount" -}}
{{- if .Values.defaultServiceAccount.create }}{{ .Release.Namespace }}/gitmoor-default{{ else }}{{ .Values.defaultServiceAccount.name }}{{ end }}
{{- end }}

{{- /* The inbox of a process as its peers know it. With split each replica tells its Pod's address in its Lease (docs/adr/0006).
       Takes (root, process). */ -}}
{{- define "gitmoor.inbox" -}}
{{- $root := index . 0 }}{{ $process := index . 1 }}
{{- if eq $root.Values.topology "split" -}}
tcp://{{ if hasPrefix "[" $root.Values.bindAddress }}[$(POD_IP)]{{ else }}$(POD_IP){{ end }}:7001
{{- else -}}
ipc:///run/gitmoor/bus/{{ $process }}
{{- end }}
{{- end }}

{{- define "gitmoor.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gitmoor.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* The flags of a process. Takes (root, process). */ -}}
{{- define "gitmoor.arguments" -}}
{{- $root := index . 0 }}{{ $process := index . 1 }}{{ $values := index $root.Values $process }}
{{- $links := include "gitmoor.links" $root | fromYaml }}
{{- $split := eq $root.Values.topology "split" }}
- --log-level={{ $root.Values.logLevel }}
- --listen={{ $root.Values.bindAddress }}:{{ index $links.ports $process }}
- --instance=$(POD_NAME){{ if not $split }}-{{ $process }}{{ end }}
- --bus-keys=/etc/gitmoor/keys
{{- if $split }}
- --bus=tcp://{{ $root.Values.bindAddress }}:7001
- --bus-advertise={{ include "gitmoor.inbox" . }}
- --lease-namespace={{ $root.Release.Namespace }}
- --pod-uid=$(POD_UID)
{{- else }}
- --bus={{ include "gitmoor.inbox" . }}
{{- range index $links.peers $process }}
- --{{ . }}={{ include "gitmoor.inbox" (list $root .) }}
{{- end }}
{{- end }}
{{- if eq $process "fetcher" }}
- --data-dir=/var/lib/gitmoor/fetcher
- --fetch-concurrency={{ $values.fetchConcurrency }}
- --max-repository-size={{ $values.maxRepositorySize }}
{{- else if eq $process "differ" }}
- --data-dir=/var/lib/gitmoor/differ
- --memory-dir=/run/gitmoor-memory
{{- if $values.generators }}
- --generators=/etc/gitmoor/generators/generators.yaml
{{- end }}
- --render-timeout={{ $values.renderTimeout }}
- --render-memory={{ $values.renderMemory }}
- --builds={{ $values.builds }}
- --build-timeout={{ $values.buildTimeout }}
- --build-memory={{ $values.buildMemory }}
- --render-output={{ $values.renderOutput }}
{{- with $values.takeOver }}
- --take-over={{ join "," . }}
{{- end }}
{{- if not $values.secrets }}
- --without-secrets
{{- end }}
{{- else if eq $process "applier" }}
- --default-service-account={{ include "gitmoor.defaultServiceAccount" $root }}
- --user-name={{ include "gitmoor.applierUser" $root }}
- --window-max={{ $values.windowMax }}
- --request-timeout={{ $values.requestTimeout }}
{{- else }}
- --applier={{ include "gitmoor.applierUser" $root }}
- --namespace={{ $root.Release.Namespace }}
- --service=gitmoor-admission
- --service-port=443
- --webhook-listen={{ $root.Values.bindAddress }}:9443
- --webhook-timeout={{ $values.webhookTimeout }}
- --failure-policy={{ $values.failurePolicy }}
{{- if $values.floor }}
- --floor
{{- end }}
- --control-plane-controllers={{ join "," $values.controlPlaneControllers }}
- --certificate-days={{ $values.certificateDays }}
{{- end }}
{{- if and $root.Values.tenancy.rules (ne $process "admission") }}
- --tenancy=/etc/gitmoor/tenancy/tenancy.yaml
{{- end }}
{{- if and $root.Values.health.checks (eq $process "differ") }}
- --health-rules=/etc/gitmoor/health/rules.yaml
{{- end }}
{{- range $values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- /* The container of a process. Takes (root, process). */ -}}
{{- define "gitmoor.container" -}}
{{- $root := index . 0 }}{{ $process := index . 1 }}{{ $values := index $root.Values $process }}
{{- $links := include "gitmoor.links" $root | fromYaml }}
{{- $split := eq $root.Values.topology "split" }}
name: {{ $process }}
image: {{ include "gitmoor.image" . }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args:
  {{- include "gitmoor.arguments" . | trim | nindent 2 }}
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- if $split }}
  - name: POD_UID
    valueFrom: {fieldRef: {fieldPath: metadata.uid}}
  - name: POD_IP
    valueFrom: {fieldRef: {fieldPath: status.podIP}}
  {{- end }}
ports:
  - {name: http-{{ $process }}, containerPort: {{ index $links.ports $process }}}
  {{- if $split }}
  - {name: bus, containerPort: 7001}
  - {name: bus-blobs, containerPort: 7002}
  {{- end }}
  {{- if eq $process "admission" }}
  - {name: webhook, containerPort: 9443}
  {{- end }}
livenessProbe:
  httpGet: {path: /healthz, port: http-{{ $process }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- /* With sidecar, only admission decides whether the Pod gets traffic: it needs none of the others to be ready. */ -}}
{{- if or $split (eq $process "admission") }}
readinessProbe:
  httpGet: {path: /readyz, port: http-{{ $process }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}
{{- if eq $process "admission" }}
# Reviews are answered until the API servers know that this Pod is going.
lifecycle: {preStop: {sleep: {seconds: 5}}}
{{- end }}
{{- with $values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "gitmoor.containerSecurityContext" $root | nindent 2 }}
volumeMounts:
  - {name: keys-{{ $process }}, mountPath: /etc/gitmoor/keys, readOnly: true}
  - {name: token-{{ $process }}, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  {{- if not $split }}
  - {name: bus, mountPath: /run/gitmoor}
  {{- end }}
  {{- if and $root.Values.tenancy.rules (ne $process "admission") }}
  - {name: tenancy, mountPath: /etc/gitmoor/tenancy, readOnly: true}
  {{- end }}
  {{- if and $root.Values.health.checks (eq $process "differ") }}
  - {name: health, mountPath: /etc/gitmoor/health, readOnly: true}
  {{- end }}
  {{- if has $process (list "fetcher" "differ") }}
  - {name: data-{{ $process }}, mountPath: /var/lib/gitmoor}
  {{- end }}
  {{- if eq $process "differ" }}
  - {name: memory-differ, mountPath: /run/gitmoor-memory}
  {{- if $values.generators }}
  - {name: generators, mountPath: /etc/gitmoor/generators, readOnly: true}
  {{- end }}
  {{- with $values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end }}

{{- /* The volumes of a process: its keys, its token, its data. Takes (root, process). */ -}}
{{- define "gitmoor.volumes" -}}
{{- $root := index . 0 }}{{ $process := index . 1 }}
{{- $links := include "gitmoor.links" $root | fromYaml }}
- name: keys-{{ $process }}
  projected:
    defaultMode: 0440
    sources:
      {{- range index $links.keys $process }}
      - secret: {name: gitmoor-bus-{{ . }}}
      {{- end }}
- name: token-{{ $process }}
  {{- if or (eq $root.Values.topology "split") (eq $process "applier") }}
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
  {{- else }}
  secret:
    secretName: gitmoor-{{ $process }}-token
    defaultMode: 0440
    items: [{key: token, path: token}, {key: ca.crt, path: ca.crt}, {key: namespace, path: namespace}]
  {{- end }}
{{- if has $process (list "fetcher" "differ") }}
- name: data-{{ $process }}
  emptyDir: {sizeLimit: {{ (index $root.Values $process).dataSize }}}
{{- end }}
{{- if eq $process "differ" }}
# What has been decrypted for a build: never on a disk.
- name: memory-differ
  emptyDir: {medium: Memory, sizeLimit: {{ $root.Values.differ.memorySize }}}
{{- if $root.Values.differ.generators }}
- name: generators
  configMap: {name: gitmoor-generators}
{{- end }}
{{- with $root.Values.differ.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
