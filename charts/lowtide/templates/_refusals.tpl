{{/* Values that cannot work are refused when the chart is rendered: what is wrong, where, and what to do. */}}

{{- define "lowtide.refuse" -}}
{{- fail (printf "\n\nvalues: %s\nhint: %s\n" (index . 0) (index . 1)) -}}
{{- end -}}

{{- define "lowtide.refusals" -}}
{{- $values := .Values -}}
{{- $config := include "lowtide.config" . | fromYaml -}}
{{- if not $config.platforms -}}
{{- include "lowtide.refuse" (list "`platform.url` is empty, and `config.platforms` too" "say where the applications run: `platform.url` for Ververica Platform, `config.platforms` for anything else") -}}
{{- end -}}
{{- if not $config.applications -}}
{{- include "lowtide.refuse" (list "`applications` names nothing" "list the applications that get savepoints: `applications: [orders, payments]`") -}}
{{- end -}}
{{- if not $values.catalog.kind -}}
{{- include "lowtide.refuse" (list "`catalog.kind` is not chosen" "`volume` keeps what Lowtide did on a PersistentVolumeClaim; `none` keeps nothing and asks the platform each time (values.yaml tells the difference)") -}}
{{- end -}}
{{- if hasKey $values.config "catalog" -}}
{{- include "lowtide.refuse" (list "`config.catalog` is set" "the chart mounts the catalog: choose it with `catalog.kind`") -}}
{{- end -}}
{{- if and $values.savepoints.paths $values.config.platforms -}}
{{- include "lowtide.refuse" (list "`savepoints.paths` and `config.platforms` are both set" "`savepoints.paths` is for `platform`: write `paths` into the platform in `config.platforms`") -}}
{{- end -}}
{{- if eq (lower (include "lowtide.timeZone" .)) "local" -}}
{{- include "lowtide.refuse" (list "the time zone `Local` is that of whichever machine looks at it" "name the zone: `timeZone: Europe/Berlin`") -}}
{{- end -}}
{{- if $values.serviceMonitor.enabled -}}
{{- include "lowtide.refuse" (list "`serviceMonitor.enabled` is true, but this release of Lowtide has no metrics to read" "leave it off; alert on failed Jobs meanwhile (`kube_job_status_failed`)") -}}
{{- end -}}
{{- if eq $values.mode "serve" -}}
{{- include "lowtide.refusals.serve" . -}}
{{- else -}}
{{- include "lowtide.refusals.cronjob" (list . $config) -}}
{{- end -}}
{{- end -}}

{{- define "lowtide.refusals.serve" -}}
{{- if eq .Values.catalog.kind "none" -}}
{{- include "lowtide.refuse" (list "`mode: serve` with `catalog.kind: none`" "the daemon remembers which slots it considered: choose `catalog.kind: volume`, or `mode: cronjob`") -}}
{{- end -}}
{{- end -}}

{{/* What one CronJob cannot do: it has one pattern, in one zone, of the kind that Kubernetes reads. */}}
{{- define "lowtide.refusals.cronjob" -}}
{{- $root := index . 0 -}}
{{- $config := index . 1 -}}
{{- $serve := "`mode: serve` can; or use one release for each schedule" -}}
{{- $defaults := $config.defaults | default dict -}}
{{- range $application := $config.applications -}}
{{- if kindIs "map" $application -}}
{{- range $key := list "schedule" "every" "timezone" -}}
{{- if hasKey $application $key -}}
{{- include "lowtide.refuse" (list (printf "the application `%v` has its own `%s`, and a CronJob has one schedule for all" $application.name $key) $serve) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if or $config.every $defaults.every -}}
{{- include "lowtide.refuse" (list (printf "`every: %v` is not a pattern, and a CronJob needs one" ($defaults.every | default $config.every)) "`mode: serve` can; or write `schedule` with steps: `0 */6 * * *`") -}}
{{- end -}}
{{- $schedule := include "lowtide.schedule" $root -}}
{{- if not $schedule -}}
{{- include "lowtide.refuse" (list "`schedule` is empty, and a CronJob needs one" "say when savepoints are due: `schedule: \"0 1 * * *\"`") -}}
{{- end -}}
{{- include "lowtide.refusals.pattern" $schedule -}}
{{- end -}}

{{/* Names of months and weekdays hold the letters H, L and W; without them, these letters are Lowtide's own. */}}
{{- define "lowtide.refusals.pattern" -}}
{{- $fields := regexSplit "[ \t]+" (trim .) -1 -}}
{{- if hasPrefix "@" (trim .) -}}
{{- if not (has (trim .) (list "@hourly" "@daily" "@midnight" "@weekly" "@monthly" "@yearly" "@annually")) -}}
{{- include "lowtide.refuse" (list (printf "a CronJob cannot express `schedule: %q`" .) "write five fields, or one of @hourly, @daily, @weekly, @monthly; for whole periods use `mode: serve` and `config.every`") -}}
{{- end -}}
{{- else -}}
{{- $plain := regexReplaceAll "(?i)JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT" . "0" -}}
{{- if not (regexMatch "(?i)^[0-9*,/HLW#()\\s-]+$" $plain) -}}
{{- include "lowtide.refuse" (list (printf "`schedule: %q` is not a cron pattern" .) "its fields hold numbers, names, `*`, `,`, `-` and `/`") -}}
{{- end -}}
{{- $own := regexFind "(?i)[HLW#]" $plain -}}
{{- if $own -}}
{{- include "lowtide.refuse" (list (printf "a CronJob cannot express `%s` in `schedule: %q`" $own .) "`mode: serve` can: it knows H, L, W and #") -}}
{{- end -}}
{{- if ne (len $fields) 5 -}}
{{- include "lowtide.refuse" (list (printf "`schedule: %q` has %d fields" . (len $fields)) "a pattern has five: minute, hour, day of month, month, day of week") -}}
{{- end -}}
{{- if regexMatch "(^|[,-])7($|[,/-])" (last $fields) -}}
{{- include "lowtide.refuse" (list (printf "a CronJob cannot express Sunday as 7 in `schedule: %q`" .) "write 0 or SUN; or use `mode: serve`") -}}
{{- end -}}
{{- end -}}
{{- end -}}
