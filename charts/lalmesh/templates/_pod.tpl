{{- /* how a role is reached by others */ -}}
{{- define "lalmesh.advertiseEnv" -}}
{{- $root := .root -}}
{{- $byName := printf "$(LALMESH_CLUSTER__NODE).%s" (include "lalmesh.podDomain" .) -}}
{{- if eq .role "edge" }}
{{- $advertise := $root.Values.edge.advertise }}
{{- if not (dig "edge" "advertise" "host" "" $root.Values.config) }}
- name: LALMESH_EDGE__ADVERTISE__HOST
  {{- if eq $advertise.from "hostIP" }}
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
  {{- else if eq $advertise.from "podIP" }}
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
  {{- else if eq $advertise.from "podService" }}
  value: $(LALMESH_CLUSTER__NODE).{{ $root.Values.edge.podService.domain }}
  {{- else }}
  value: {{ $advertise.host | default (printf "%s-edge.%s.svc.%s" (include "lalmesh.fullname" $root) $root.Release.Namespace $root.Values.clusterDomain) }}
  {{- end }}
{{- end }}
{{- else }}
- name: LALMESH_{{ upper .role }}__ADVERTISE_HOST
  {{- if $root.Values.clusterTls.enabled }}
  value: {{ $byName }}
  {{- else }}
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "lalmesh.env" -}}
- name: LALMESH_CLUSTER__NODE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: LALMESH_CLUSTER__MACHINE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- if .zone }}
- name: LALMESH_CLUSTER__ZONE
  value: {{ .zone | quote }}
{{- else if .root.Values.zoneFromPodLabel }}
- name: LALMESH_CLUSTER__ZONE
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['topology.kubernetes.io/zone']"}}
{{- end }}
{{- include "lalmesh.advertiseEnv" . }}
{{- $role := .role }}
{{- $secret := include "lalmesh.secretName" .root }}
{{- range .root.Files.Get "files/secrets.yaml" | fromYamlArray }}
{{- if has $role .roles }}
- name: {{ .env }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .key }}{{ if ne .key "cluster.key" }}, optional: true{{ end }}}}
{{- end }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Secrets with certificates, by the folder below /etc/lalmesh/tls that they are seen in */ -}}
{{- define "lalmesh.certificates" -}}
{{- with include "lalmesh.clusterTls" .root }}
cluster: {{ . }}
{{- end }}
{{- if eq .role "edge" }}
{{- with include "lalmesh.edgeTls" .root }}
edge: {{ . }}
{{- end }}
{{- else if eq .role "scheduler" }}
{{- with include "lalmesh.schedulerTls" .root }}
scheduler: {{ . }}
{{- end }}
{{- with .root.Values.etcd.tlsSecret }}
etcd: {{ . }}
{{- end }}
{{- with .root.Values.redis.tlsSecret }}
redis: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "lalmesh.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "lalmesh.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .root.Values.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* where the scheduler of Kubernetes puts pods of a role */ -}}
{{- define "lalmesh.placement" -}}
{{- $selector := include "lalmesh.selector" . | fromYaml -}}
{{- $values := .values -}}
{{- $nodes := deepCopy $values.nodeSelector -}}
{{- with .zone }}{{- $_ := set $nodes "topology.kubernetes.io/zone" . }}{{- end }}
{{- with $nodes }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.affinity }}
affinity:
  {{- toYaml $values.affinity | nindent 2 }}
{{- else if ne .kind "DaemonSet" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- toYaml $selector | nindent 14 }}
{{- end }}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else if and (ne .kind "DaemonSet") (not .zone) }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- toYaml $selector | nindent 8 }}
{{- end }}
{{- $class := $values.priorityClassName }}
{{- if and (not $class) .root.Values.priorityClasses.create }}
{{- $class = printf "%s-%s" (include "lalmesh.fullname" .root) (ternary "control" "media" (has .role (list "scheduler" "etcd" "redis"))) }}
{{- end }}
{{- with $class }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
serviceAccountName: {{ include "lalmesh.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- end -}}

{{- /* the template of pods of a role: root, role, zone, values, kind */ -}}
{{- define "lalmesh.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $certificates := include "lalmesh.certificates" . | fromYaml -}}
{{- $isFolder := and (eq .role "hls") (include "lalmesh.hasFolder" $root) -}}
{{- $onHost := and (eq .role "edge") (or $values.hostPorts $values.hostNetwork) -}}
metadata:
  labels:
    {{- include "lalmesh.podLabels" . | nindent 4 }}
  annotations:
    checksum/config: {{ include "lalmesh.roleConfig" . | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "lalmesh.placement" . | nindent 2 }}
  {{- if and (eq .role "edge") $values.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  # preStop, then draining, then what it takes to close what is left
  terminationGracePeriodSeconds: {{ add $root.Values.preStopS (include "lalmesh.drainS" $root | int) 10 }}
  securityContext:
    {{- include "lalmesh.podSecurityContext" (dict "root" $root "user" 10001) | nindent 4 }}
  containers:
    - name: {{ .role }}
      image: {{ include "lalmesh.image" (dict "root" $root "image" $root.Values.image) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [lalmesh]
      args: [{{ .role }}, --config, /etc/lalmesh/lalmesh.yaml]
      workingDir: /var/lib/lalmesh
      env:
        {{- include "lalmesh.env" . | nindent 8 }}
      ports:
        {{- range include "lalmesh.ports" . | fromYamlArray }}
        - name: {{ .name }}
          containerPort: {{ .port }}
          protocol: {{ .protocol }}
          {{- if and $onHost (or $values.hostNetwork (ne .name "metrics")) }}
          hostPort: {{ .port }}
          {{- end }}
        {{- end }}
      # Whether the process answers, and nothing else: who cannot reach a scheduler, etcd or Redis goes on with what it has.
      startupProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # Not before it has joined once, and not while it drains.
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 2
      {{- if $root.Values.preStopS }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ $root.Values.preStopS }}}
      {{- end }}
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "lalmesh.securityContext" . | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/lalmesh/lalmesh.yaml, subPath: {{ .role }}.yaml, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- range $folder, $_ := $certificates }}
        - {name: tls-{{ $folder }}, mountPath: /etc/lalmesh/tls/{{ $folder }}, readOnly: true}
        {{- end }}
        {{- if eq .role "hls" }}
        - {name: spool, mountPath: {{ (include "lalmesh.effective" $root | fromYaml).hls.recording.spool_dir }}}
        {{- with $isFolder }}
        - {name: media, mountPath: {{ . }}}
        {{- end }}
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "lalmesh.fullname" $root }}}
    - name: tmp
      emptyDir: {}
    {{- range $folder, $secret := $certificates }}
    - name: tls-{{ $folder }}
      secret: {secretName: {{ $secret }}, defaultMode: 0440}
    {{- end }}
    {{- if eq .role "hls" }}
    - name: spool
      {{- toYaml $values.spool.volume | nindent 6 }}
    {{- if $isFolder }}
    - name: media
      persistentVolumeClaim:
        claimName: {{ $values.storage.claim.existingClaim | default (printf "%s-media" (include "lalmesh.fullname" $root)) }}
    {{- end }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* a workload of a role: root, role, zone, values, kind, replicas (none: an autoscaler says) */ -}}
{{- define "lalmesh.workload" -}}
{{- $name := printf "%s-%s%s" (include "lalmesh.fullname" .root) .role (empty .zone | ternary "" (printf "-%s" .zone)) -}}
apiVersion: apps/v1
kind: {{ .kind }}
metadata:
  {{- include "lalmesh.metadata" (dict "root" .root "role" .role "zone" .zone "name" $name) | nindent 2 }}
spec:
  {{- if and (ne .kind "DaemonSet") (not .scaled) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  {{- if ne .kind "DaemonSet" }}
  revisionHistoryLimit: 5
  {{- end }}
  selector:
    matchLabels:
      {{- include "lalmesh.selector" . | nindent 6 }}
  {{- if eq .kind "StatefulSet" }}
  serviceName: {{ include "lalmesh.fullname" .root }}-{{ .role }}-pods
  podManagementPolicy: Parallel
  updateStrategy: {type: RollingUpdate}
  {{- else if eq .kind "DaemonSet" }}
  updateStrategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 1}
  {{- else }}
  strategy:
    type: RollingUpdate
    {{- if and (eq .role "edge") (or .values.hostPorts .values.hostNetwork) }}
    rollingUpdate: {maxUnavailable: 1, maxSurge: 0}  # two cannot have the same ports of a machine
    {{- else }}
    rollingUpdate: {maxUnavailable: 0, maxSurge: 25%}
    {{- end }}
  {{- end }}
  template:
    {{- include "lalmesh.pod" . | nindent 4 }}
{{- end -}}
