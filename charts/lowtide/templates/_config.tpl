{{/* Lowtide's configuration: what the simple values say, and over it, key by key, what `config` says. */}}

{{/* The one platform of the simple values. */}}
{{- define "lowtide.ververica" -}}
{{- $platform := .Values.platform -}}
{{- $ververica := dict "url" $platform.url "namespace" $platform.namespace "resolve" $platform.resolve -}}
{{- if $platform.tokenSecret.name -}}
{{- $_ := set $ververica "token" "${file:/var/run/secrets/lowtide/token}" -}}
{{- end -}}
{{- if eq $platform.resolve "pods" -}}
{{- $_ := set $ververica "kubernetes" (dict "namespace" (default .Release.Namespace $platform.podsNamespace)) -}}
{{- end -}}
{{- if .Values.savepoints.paths -}}
{{- $_ := set $ververica "paths" .Values.savepoints.paths -}}
{{- end -}}
{{- merge (deepCopy $platform.options) $ververica | toYaml -}}
{{- end -}}

{{/* The whole file, as YAML. */}}
{{- define "lowtide.config" -}}
{{- $own := .Values.config -}}
{{- $defaults := $own.defaults | default dict -}}
{{- $config := dict "timezone" .Values.timeZone "applications" .Values.applications -}}
{{- if .Values.platform.url -}}
{{- $ververica := include "lowtide.ververica" . | fromYaml -}}
{{- $_ := set $config "platforms" (dict .Values.platform.name (dict "ververica" $ververica)) -}}
{{- end -}}
{{- /* The file may say its schedule once only: at the top or in `defaults`, as a pattern or as `every`. */ -}}
{{- if and .Values.schedule (not (or $own.every $defaults.schedule $defaults.every)) -}}
{{- $_ := set $config "schedule" .Values.schedule -}}
{{- end -}}
{{- if eq .Values.catalog.kind "none" -}}
{{- $_ := set $config "catalog" "none" -}}
{{- else -}}
{{- $_ := set $config "catalog" (dict "sqlite" "/var/lib/lowtide/catalog.db") -}}
{{- end -}}
{{- range $key, $value := $own -}}
{{- $_ := set $config $key $value -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The schedule that holds for applications without their own; empty where there is none. */}}
{{- define "lowtide.schedule" -}}
{{- $config := include "lowtide.config" . | fromYaml -}}
{{- $defaults := $config.defaults | default dict -}}
{{- $defaults.schedule | default $config.schedule | default "" -}}
{{- end -}}

{{/* The zone of that schedule. */}}
{{- define "lowtide.timeZone" -}}
{{- $config := include "lowtide.config" . | fromYaml -}}
{{- $defaults := $config.defaults | default dict -}}
{{- $defaults.timezone | default $config.timezone -}}
{{- end -}}
