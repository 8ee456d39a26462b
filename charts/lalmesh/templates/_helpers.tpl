{{- define "lalmesh.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "lalmesh.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .zone }}
lalmesh/zone: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "lalmesh.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: lalmesh
{{ include "lalmesh.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* labels of pods: root, role, zone, values */ -}}
{{- define "lalmesh.podLabels" -}}
{{- toYaml (mustMerge (include "lalmesh.labels" . | fromYaml) (deepCopy .values.podLabels)) -}}
{{- end -}}

{{- /* metadata of an object: root, name, role, zone, annotations */ -}}
{{- define "lalmesh.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "lalmesh.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "lalmesh.image" -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion -}}
{{- if .image.digest -}}{{ .image.repository }}@{{ .image.digest }}{{- else -}}{{ .image.repository }}:{{ $tag }}{{- end -}}
{{- end -}}

{{- define "lalmesh.secretName" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-secrets" (include "lalmesh.fullname" .)) -}}
{{- end -}}

{{- define "lalmesh.serviceAccount" -}}
{{- $sa := .Values.serviceAccount -}}
{{- $sa.name | default (ternary (include "lalmesh.fullname" .) "default" $sa.create) -}}
{{- end -}}

{{- /* the Secret of a certificate, empty where there is none: tls, name */ -}}
{{- define "lalmesh.tlsSecret" -}}
{{- if .tls.secretName -}}{{ .tls.secretName }}{{- else if .tls.certManager.enabled -}}{{ .name }}{{- end -}}
{{- end -}}

{{- define "lalmesh.edgeTls" -}}
{{- include "lalmesh.tlsSecret" (dict "tls" .Values.edge.tls "name" (printf "%s-edge-tls" (include "lalmesh.fullname" .))) -}}
{{- end -}}

{{- define "lalmesh.schedulerTls" -}}
{{- include "lalmesh.tlsSecret" (dict "tls" .Values.scheduler.tls "name" (printf "%s-scheduler-tls" (include "lalmesh.fullname" .))) -}}
{{- end -}}

{{- define "lalmesh.clusterTls" -}}
{{- if .Values.clusterTls.enabled -}}
{{- include "lalmesh.tlsSecret" (dict "tls" .Values.clusterTls "name" (printf "%s-cluster-tls" (include "lalmesh.fullname" .))) -}}
{{- end -}}
{{- end -}}

{{- /* the domain of the pods of a role */ -}}
{{- define "lalmesh.podDomain" -}}
{{ include "lalmesh.fullname" .root }}-{{ .role }}-pods.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end -}}

{{- /* what the chart knows of the configuration by itself */ -}}
{{- define "lalmesh.derived" -}}
{{- $full := include "lalmesh.fullname" . -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- $given := .Values.config -}}
{{- $grpc := dig "scheduler" "grpc" "port" $defaults.scheduler.grpc.port $given -}}
{{- $domain := include "lalmesh.podDomain" (dict "root" . "role" "scheduler") -}}
cluster:
  name: {{ $full }}
  schedulers:
    {{- range $n := until (int .Values.scheduler.replicas) }}
    - {{ printf "%s-scheduler-%d.%s:%d" $full $n $domain (int $grpc) }}
    {{- end }}
  {{- if .Values.clusterTls.enabled }}
  tls:
    ca_file: /etc/lalmesh/tls/cluster/ca.crt
    cert_file: /etc/lalmesh/tls/cluster/tls.crt
    key_file: /etc/lalmesh/tls/cluster/tls.key
  {{- end }}
edge:
  rtsp:
    udp_ports: {{ ternary $defaults.edge.rtsp.udp_ports "shared" .Values.edge.hostNetwork | quote }}
  {{- if include "lalmesh.edgeTls" . }}
  tls:
    cert_file: /etc/lalmesh/tls/edge/tls.crt
    key_file: /etc/lalmesh/tls/edge/tls.key
  {{- end }}
scheduler:
  etcd:
    {{- if .Values.etcd.bundled }}
    endpoints:
      {{- $domain := include "lalmesh.podDomain" (dict "root" . "role" "etcd") }}
      {{- range $n := until (int .Values.etcd.replicas) }}
      - {{ printf "%s-etcd-%d.%s:2379" $full $n $domain }}
      {{- end }}
    {{- else if .Values.etcd.tlsSecret }}
    ca_file: /etc/lalmesh/tls/etcd/ca.crt
    cert_file: /etc/lalmesh/tls/etcd/tls.crt
    key_file: /etc/lalmesh/tls/etcd/tls.key
    {{- else }} {}
    {{- end }}
  redis:
    {{- if .Values.redis.bundled }}
    host: {{ $full }}-redis.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
    {{- else if .Values.redis.tlsSecret }}
    tls: true
    ca_file: /etc/lalmesh/tls/redis/ca.crt
    {{- else }} {}
    {{- end }}
  {{- if include "lalmesh.schedulerTls" . }}
  http:
    tls:
      cert_file: /etc/lalmesh/tls/scheduler/tls.crt
      key_file: /etc/lalmesh/tls/scheduler/tls.key
  {{- end }}
hls:
  storage:
    url: /var/lib/lalmesh/media
  recording:
    spool_dir: /var/lib/lalmesh/spool
metrics:
  host: 0.0.0.0
{{- end -}}

{{- /* lalmesh.yaml: what the chart knows, under what is given */ -}}
{{- define "lalmesh.config" -}}
{{- toYaml (mustMergeOverwrite (include "lalmesh.derived" . | fromYaml) (deepCopy .Values.config)) -}}
{{- end -}}

{{- /* as a role gets it: without sections that others read, whose secrets it does not get and could not start without */ -}}
{{- define "lalmesh.roleConfig" -}}
{{- $config := include "lalmesh.config" .root | fromYaml -}}
{{- if ne .role "scheduler" -}}
{{- $config = omit $config "scheduler" -}}
{{- end -}}
{{- if eq .role "origin" -}}
{{- $config = omit $config "auth" -}}
{{- else if and (eq .role "scheduler") $config.auth -}}
{{- $_ := set $config "auth" (pick $config.auth "limits") -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* the same with the defaults of all other keys: what templates go by */ -}}
{{- define "lalmesh.effective" -}}
{{- toYaml (mustMergeOverwrite (.Files.Get "files/defaults.yaml" | fromYaml) (include "lalmesh.config" . | fromYaml)) -}}
{{- end -}}

{{- define "lalmesh.drainS" -}}
{{- (include "lalmesh.effective" . | fromYaml).cluster.drain_s | ceil | int -}}
{{- end -}}

{{- /* what an edge listens on, as a list of name, port, protocol */ -}}
{{- define "lalmesh.edgePorts" -}}
{{- $edge := (include "lalmesh.effective" . | fromYaml).edge -}}
{{- range $name := list "rtmp" "http" "rtsp" "ws_rtsp" "rtmps" "https" "rtsps" }}
{{- $listener := get $edge $name }}
{{- $wanted := $listener.enable }}
{{- if kindIs "invalid" $wanted }}{{- $wanted = not (empty $edge.tls.cert_file) }}{{- end }}
{{- if $wanted }}
- {name: {{ $name | replace "_" "-" }}, port: {{ int $listener.port }}, protocol: TCP}
{{- end }}
{{- end }}
{{- if and $edge.rtsp.enable (eq $edge.rtsp.udp_ports "shared") }}
{{- /* two for each worker */}}
{{- range $n := until (int $edge.workers) }}
{{- $suffix := ternary (printf "-%d" (add $n 1)) "" (gt $n 0) }}
{{- $first := add (int $edge.rtsp.shared_udp_port) (mul 2 $n) }}
- {name: rtp{{ $suffix }}, port: {{ $first }}, protocol: UDP}
- {name: rtcp{{ $suffix }}, port: {{ add $first 1 }}, protocol: UDP}
{{- end }}
{{- end }}
{{- end -}}

{{- /* ports of a role inside the cluster, the metrics last */ -}}
{{- define "lalmesh.ports" -}}
{{- $config := include "lalmesh.effective" .root | fromYaml -}}
{{- if eq .role "edge" }}
{{- include "lalmesh.edgePorts" .root }}
{{- else if eq .role "origin" }}
{{- range $n := until (int $config.origin.workers) }}
- {name: grpc{{ ternary (printf "-%d" (add $n 1)) "" (gt $n 0) }}, port: {{ add (int $config.origin.grpc.port) $n }}, protocol: TCP}
{{- end }}
{{- else if eq .role "scheduler" }}
- {name: grpc, port: {{ int $config.scheduler.grpc.port }}, protocol: TCP}
- {name: api, port: {{ int $config.scheduler.http.port }}, protocol: TCP}
{{- else if eq .role "hls" }}
- {name: grpc, port: {{ int $config.hls.grpc.port }}, protocol: TCP}
- {name: http, port: {{ int $config.hls.http.port }}, protocol: TCP}
{{- $secure := $config.hls.https.enable }}
{{- if kindIs "invalid" $secure }}{{- $secure = not (empty $config.hls.tls.cert_file) }}{{- end }}
{{- if $secure }}
- {name: https, port: {{ int $config.hls.https.port }}, protocol: TCP}
{{- end }}
{{- end }}
- {name: metrics, port: {{ int $config.metrics.port }}, protocol: TCP}
{{- end -}}

{{- /* pods of the release, as peers of a NetworkPolicy; of one role where it is given: root, role */ -}}
{{- define "lalmesh.peers" -}}
- podSelector:
    matchLabels:
      {{- include "lalmesh.selector" . | nindent 6 }}
{{- end -}}

{{- /* whether a clip can be pushed and played by the Service of the edges */ -}}
{{- define "lalmesh.canTest" -}}
{{- $edge := (include "lalmesh.effective" . | fromYaml).edge -}}
{{- if and .Values.tests.enabled .Values.edge.service.enabled $edge.rtmp.enable $edge.http.enable -}}true{{- end -}}
{{- end -}}

{{- define "lalmesh.hasFolder" -}}
{{- $url := (include "lalmesh.effective" . | fromYaml).hls.storage.url -}}
{{- if and (not (contains "://" $url)) (ne $url "memory:") -}}{{ $url }}{{- end -}}
{{- end -}}
