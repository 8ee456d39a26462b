{{- /* the groups of alerts/ with ${...} filled in: from values of the alert, and ${pods}, ${edges}, ... from what the chart asks for */ -}}
{{- define "lalmesh.alerts" -}}
{{- $root := . }}
{{- $full := include "lalmesh.fullname" . }}
{{- $given := .Values.monitoring.prometheusRule }}
{{- $edge := .Values.edge }}
{{- $zones := max 1 (len .Values.zones) }}
{{- $edges := mul $zones (ternary $edge.autoscaling.minReplicas $edge.replicas $edge.autoscaling.enabled) }}
{{- /* each worker is a node; of how many there are by themselves one is certain */}}
{{- $config := include "lalmesh.effective" . | fromYaml }}
{{- $edges = mul $edges (max 1 (int $config.edge.workers)) }}
{{- $common := dict
  "pods" (printf `namespace="%s",job=~"%s/%s|%s-metrics"` .Release.Namespace .Release.Namespace $full $full)
  "edges" (ternary 1 $edges (eq $edge.kind "DaemonSet"))
  "origins" (mul $zones .Values.origin.replicas (max 1 (int $config.origin.workers)))
  "hlsNodes" (mul $zones .Values.hls.replicas)
  "schedulers" .Values.scheduler.replicas }}
{{- $known := list }}
{{- range $path, $_ := .Files.Glob "alerts/*.yaml" }}
{{- range $group := ($root.Files.Get $path | fromYaml).groups }}
{{- range $group.rules }}
{{- $known = append $known .alert }}
{{- end }}
{{- end }}
{{- end }}
{{- range $given.disabled }}
{{- if not (has . $known) }}
{{- fail (printf "monitoring.prometheusRule.disabled: there is no alert %s" .) }}
{{- end }}
{{- end }}
groups:
{{- range $path, $_ := .Files.Glob "alerts/*.yaml" }}
{{- range $group := ($root.Files.Get $path | fromYaml).groups }}
  - name: {{ $group.name }}
    rules:
      {{- range $rule := $group.rules }}
      {{- if not (has $rule.alert $given.disabled) }}
      {{- $key := $rule.alert | trimPrefix "Lalmesh" | untitle }}
      {{- $slug := $rule.alert | trimPrefix "Lalmesh" | kebabcase }}
      {{- $_ := set $rule "labels" (merge (deepCopy $given.alertLabels) $rule.labels) }}
      {{- $_ := set $rule.annotations "runbook" (printf "docs/runbooks/%s.md" $slug) }}
      {{- with $given.runbookUrl }}
      {{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s.html" (trimSuffix "/" .) $slug) }}
      {{- end }}
      {{- $text := toYaml (list $rule) }}
      {{- range $name, $value := merge (dict) $common (get $given.alerts $key) }}
      {{- $text = $text | replace (printf "${%s}" $name) (toString $value) }}
      {{- end }}
      {{- if contains "${" $text }}
      {{- fail (printf "%s: monitoring.prometheusRule.alerts.%s lacks %s" $rule.alert $key (regexFind "[$][{][a-zA-Z]+[}]" $text)) }}
      {{- end }}
      {{- $text | nindent 6 }}
      {{- end }}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}
