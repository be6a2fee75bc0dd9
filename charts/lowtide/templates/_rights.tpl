{{/* What Lowtide may do in Kubernetes. This is the one place that says so; README.md, "Rights", has it as a table,
     and tests compare it with that table and with the API server's audit log. */}}

{{/* A map from Kubernetes namespace to the rules that hold in it, as YAML; empty where no right is needed.
     - `batch/jobs` get: a CronJob's pod reads, from its own Job, which slot it fills.
     - pods, services: a one-shot lists them once; the daemon also watches them.
     - services/proxy, with `reach: proxy`: requests to Flink go through the API server.
     A platform with a kubeconfig of its own is another cluster, where this ServiceAccount means nothing. */}}
{{- define "lowtide.rules" -}}
{{- $config := include "lowtide.config" . | fromYaml -}}
{{- $serve := eq .Values.mode "serve" -}}
{{- $seen := ternary (list "list" "watch") (list "list") $serve -}}
{{- $resources := dict -}}
{{- $proxied := dict -}}
{{- range $name, $platform := $config.platforms -}}
{{- with $platform.ververica -}}
{{- if and (eq (default "api" .resolve) "pods") (not (dig "kubernetes" "kubeconfig" "" .)) -}}
{{- $namespace := dig "kubernetes" "namespace" $.Release.Namespace . -}}
{{- $_ := set $resources $namespace (concat (get $resources $namespace | default list) (list "pods") | uniq) -}}
{{- end -}}
{{- end -}}
{{- with $platform.kubernetes -}}
{{- if not .kubeconfig -}}
{{- $namespace := .namespace | default $.Release.Namespace -}}
{{- $_ := set $resources $namespace (concat (get $resources $namespace | default list) (list "pods" "services") | uniq) -}}
{{- if eq (default "" .reach) "proxy" -}}
{{- $_ := set $proxied $namespace true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $rules := dict -}}
{{- range $namespace, $kinds := $resources -}}
{{- $_ := set $rules $namespace (list (dict "apiGroups" (list "") "resources" ($kinds | sortAlpha) "verbs" $seen)) -}}
{{- end -}}
{{- range $namespace, $yes := $proxied -}}
{{- $proxy := dict "apiGroups" (list "") "resources" (list "services/proxy") "verbs" (list "create" "get") -}}
{{- $_ := set $rules $namespace (append (get $rules $namespace) $proxy) -}}
{{- end -}}
{{- if not $serve -}}
{{- $here := .Release.Namespace -}}
{{- $jobs := dict "apiGroups" (list "batch") "resources" (list "jobs") "verbs" (list "get") -}}
{{- $_ := set $rules $here (prepend (get $rules $here | default list) $jobs) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}

{{/* The Role's name in a namespace: the release's own name at home; elsewhere with the release's namespace, so that
     releases of one name in several namespaces do not meet there. Takes the root and the namespace. */}}
{{- define "lowtide.role" -}}
{{- $root := index . 0 -}}
{{- $name := include "lowtide.fullname" $root -}}
{{- if eq (index . 1) $root.Release.Namespace -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" $name $root.Release.Namespace -}}
{{- end -}}
{{- end -}}
