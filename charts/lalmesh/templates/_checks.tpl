{{- /* what the schema cannot say: values that do not go together */ -}}
{{- define "lalmesh.checks" -}}
{{- $edge := .Values.edge -}}
{{- $config := include "lalmesh.effective" . | fromYaml -}}
{{- if and (eq $edge.kind "DaemonSet") $edge.autoscaling.enabled }}
{{- fail "edge.autoscaling.enabled: a DaemonSet has as many pods as there are machines; use edge.kind: Deployment" }}
{{- end }}
{{- if eq $edge.advertise.from "podService" }}
{{- if ne $edge.kind "StatefulSet" }}
{{- fail "edge.advertise.from: podService needs pods with names that stay; use edge.kind: StatefulSet" }}
{{- end }}
{{- if not $edge.podService.domain }}
{{- fail "edge.advertise.from: podService needs edge.podService.domain, below which pods have their names" }}
{{- end }}
{{- end }}
{{- if and (eq $edge.advertise.from "podService") (eq $edge.podService.type "NodePort") }}
{{- fail "edge.podService.type: NodePort has other ports outside than the edge names; use LoadBalancer" }}
{{- end }}
{{- if and $edge.hostNetwork .Values.networkPolicy.enabled (not .Values.networkPolicy.machinesFrom) }}
{{- fail "edge.hostNetwork needs networkPolicy.machinesFrom: such edges come from the addresses of machines, which a policy cannot tell by pods" }}
{{- end }}
{{- if and (eq $edge.advertise.from "hostIP") (not (or $edge.hostPorts $edge.hostNetwork)) }}
{{- fail "edge.advertise.from: hostIP needs edge.hostPorts or edge.hostNetwork" }}
{{- end }}
{{- if and (eq $edge.advertise.from "service") (not $edge.service.enabled) (not $edge.advertise.host) }}
{{- fail "edge.advertise.from: service needs edge.service.enabled, or edge.advertise.host" }}
{{- end }}
{{- if and $edge.hostPorts (not $edge.hostNetwork) $config.edge.rtsp.enable (ne $config.edge.rtsp.udp_ports "shared") }}
{{- fail "edge.hostPorts needs config.edge.rtsp.udp_ports: shared; a range of ports needs edge.hostNetwork" }}
{{- end }}
{{- $perWorker := dict "origin" true "edge" (and $config.edge.rtsp.enable (eq $config.edge.rtsp.udp_ports "shared")) }}
{{- range $role, $hasPorts := $perWorker }}
{{- if and $hasPorts (eq (toString (get $config $role).workers) "auto") }}
{{- fail (printf "config.%s.workers: each worker has ports of its own, and how many auto makes is known in the pod alone; make it a number, that of the cores in %s.resources" $role $role) }}
{{- end }}
{{- end }}
{{- if and $edge.service.udp (ne $config.edge.rtsp.udp_ports "shared") }}
{{- fail "edge.service.udp needs config.edge.rtsp.udp_ports: shared" }}
{{- end }}
{{- if and .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled }}
{{- fail "monitoring.podMonitor and monitoring.serviceMonitor: one of them, or Prometheus has each figure twice" }}
{{- end }}
{{- if and $edge.autoscaling.enabled (gt (include "lalmesh.drainS" . | int) 3600) }}
{{- fail "edge.autoscaling.enabled: an autoscaler looks back an hour at most, and edges need config.cluster.drain_s; make it 3600 or less" }}
{{- end }}
{{- if and $edge.autoscaling.enabled (gt (int $edge.autoscaling.minReplicas) (int $edge.autoscaling.maxReplicas)) }}
{{- fail "edge.autoscaling.minReplicas is above maxReplicas" }}
{{- end }}
{{- if and $edge.autoscaling.enabled (eq $edge.autoscaling.by "keda") (not $edge.autoscaling.keda.serverAddress) }}
{{- fail "edge.autoscaling.by: keda needs edge.autoscaling.keda.serverAddress, the URL of Prometheus" }}
{{- end }}
{{- if not $config.scheduler.etcd.endpoints }}
{{- fail "etcd.bundled: false needs config.scheduler.etcd.endpoints" }}
{{- end }}
{{- if and .Values.etcd.bundled .Values.etcd.tlsSecret }}
{{- fail "etcd.tlsSecret is for an etcd that is elsewhere: etcd.bundled: false" }}
{{- end }}
{{- if and .Values.redis.bundled .Values.redis.tlsSecret }}
{{- fail "redis.tlsSecret is for a Redis that is elsewhere: redis.bundled: false" }}
{{- end }}
{{- if and (gt (int .Values.scheduler.replicas) 1) (not $config.scheduler.redis.host) }}
{{- fail "several schedulers share their sessions in a Redis: redis.bundled, or config.scheduler.redis.host" }}
{{- end }}
{{- if lt (int .Values.scheduler.replicas) 1 }}
{{- fail "scheduler.replicas: without a scheduler nothing can join" }}
{{- end }}
{{- if and .Values.clusterTls.enabled (not (include "lalmesh.clusterTls" .)) }}
{{- fail "clusterTls.enabled needs clusterTls.secretName or clusterTls.certManager" }}
{{- end }}
{{- range $name, $tls := dict "edge.tls" $edge.tls "scheduler.tls" .Values.scheduler.tls "clusterTls" .Values.clusterTls }}
{{- if $tls.certManager.enabled }}
{{- if not $tls.certManager.issuerRef.name }}
{{- fail (printf "%s.certManager.enabled needs issuerRef.name" $name) }}
{{- end }}
{{- if and (ne $name "clusterTls") (not $tls.certManager.dnsNames) }}
{{- fail (printf "%s.certManager.enabled needs dnsNames" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not (or .Values.ingress.streams.host .Values.ingress.api.host)) }}
{{- fail "ingress.enabled needs ingress.streams.host or ingress.api.host" }}
{{- end }}
{{- if and .Values.ingress.enabled .Values.ingress.streams.host (not (and $edge.service.enabled $config.edge.http.enable)) }}
{{- fail "ingress.streams.host leads to the edges over HTTP: it needs edge.service.enabled and config.edge.http.enable" }}
{{- end }}
{{- $claim := .Values.hls.storage.claim }}
{{- if and (include "lalmesh.hasFolder" .) (gt (mul (int .Values.hls.replicas) (max 1 (len .Values.zones))) 1) (not $claim.existingClaim) (not (has "ReadWriteMany" $claim.accessModes)) }}
{{- fail "several hls nodes share their storage: hls.storage.claim.accessModes: [ReadWriteMany], or config.hls.storage.url: s3://BUCKET/PREFIX" }}
{{- end }}
{{- if and (eq $config.hls.storage.url "memory:") (gt (int .Values.hls.replicas) 1) }}
{{- fail "config.hls.storage.url: memory: is for one hls node" }}
{{- end }}
{{- range $section, $given := .Values.config }}
{{- if regexMatch "://[^/@\\s\"]*:[^/@\\s\"]*@" (toJson $given) }}
{{- fail (printf "config.%s has a URL with a login in it, and values are no place for secrets; docs/kubernetes.md says where it may be" $section) }}
{{- end }}
{{- end }}
{{- range $zone := .Values.zones }}
{{- $name := printf "%s-origin-%s" (include "lalmesh.fullname" $) $zone }}
{{- if gt (len $name) 52 }}
{{- fail (printf "zones: %s is longer than the 52 characters that a StatefulSet may have; a shorter fullnameOverride helps" $name) }}
{{- end }}
{{- end }}
{{- $given := dict "commonLabels" .Values.commonLabels }}
{{- range $role := list "edge" "origin" "scheduler" "hls" "etcd" "redis" }}
{{- $_ := set $given (printf "%s.podLabels" $role) (get $.Values $role).podLabels }}
{{- end }}
{{- range $where, $labels := $given }}
{{- range $label, $_ := $labels }}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|version|managed-by|part-of)|helm\\.sh/chart|lalmesh/zone)$" $label }}
{{- fail (printf "%s: %s is a label of the chart, by which it finds its pods" $where $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
