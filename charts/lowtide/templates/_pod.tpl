{{/* The pod that runs Lowtide, the same in every shape. Takes a map: `root`, `args`, and
     `restartPolicy`, `env`, `catalog` (whether the catalog's volume is mounted). */}}
{{- define "lowtide.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $rights := include "lowtide.rules" $root | fromYaml -}}
{{- $catalog := and .catalog (eq $values.catalog.kind "volume") -}}
serviceAccountName: {{ include "lowtide.serviceAccount" $root }}
automountServiceAccountToken: {{ gt (len $rights) 0 }}
# The variables that Kubernetes would make of a Service named `lowtide` begin as Lowtide's own do.
enableServiceLinks: false
restartPolicy: {{ .restartPolicy }}
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $values.podSecurityContext | nindent 2 }}
containers:
  - name: lowtide
    image: {{ include "lowtide.image" $root | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args:
      {{- toYaml (concat .args (list "--log-format" $values.logFormat)) | nindent 6 }}
    env:
      - name: LOWTIDE_CONFIG
        value: /etc/lowtide/lowtide.yaml
      {{- with .env }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    securityContext:
      {{- toYaml $values.securityContext | nindent 6 }}
    resources:
      {{- toYaml $values.resources | nindent 6 }}
    volumeMounts:
      - name: config
        mountPath: /etc/lowtide
        readOnly: true
      # Where SQLite puts its temporary files; the root file system is read-only.
      - name: tmp
        mountPath: /tmp
      {{- if $catalog }}
      - name: catalog
        mountPath: /var/lib/lowtide
      {{- end }}
      {{- if $values.platform.tokenSecret.name }}
      - name: token
        mountPath: /var/run/secrets/lowtide
        readOnly: true
      {{- end }}
      {{- if $values.savepoints.claim }}
      - name: savepoints
        mountPath: {{ $values.savepoints.mountPath }}
        readOnly: {{ $values.savepoints.readOnly }}
      {{- end }}
      {{- with $values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "lowtide.fullname" $root }}
  - name: tmp
    emptyDir: { sizeLimit: 64Mi }
  {{- if $catalog }}
  - name: catalog
    persistentVolumeClaim:
      claimName: {{ include "lowtide.claim" $root }}
  {{- end }}
  {{- with $values.platform.tokenSecret }}
  {{- if .name }}
  - name: token
    secret:
      secretName: {{ .name }}
      # 0440: read through `fsGroup`, by nobody else. In decimal, because YAML 1.1 and 1.2 differ on octal numbers.
      defaultMode: 288
      items:
        - key: {{ .key }}
          path: token
  {{- end }}
  {{- end }}
  {{- if $values.savepoints.claim }}
  - name: savepoints
    persistentVolumeClaim:
      claimName: {{ $values.savepoints.claim }}
      readOnly: {{ $values.savepoints.readOnly }}
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels of the pods. Takes the root and the shape. */}}
{{- define "lowtide.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "lowtide.labels" $root }}
app.kubernetes.io/component: {{ index . 1 }}
{{- with $root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
