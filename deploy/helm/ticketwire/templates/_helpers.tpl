{{- define "ticketwire.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for the longest suffix and for the hash of a pod. */}}
{{- define "ticketwire.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ticketwire.selector" -}}
app.kubernetes.io/name: {{ include "ticketwire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ticketwire.labels" -}}
{{ include "ticketwire.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ticketwire.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ticketwire.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The component whose pods take webhooks. */}}
{{- define "ticketwire.door" -}}
{{- if eq .Values.mode "single" -}}single{{- else -}}receiver{{- end -}}
{{- end -}}

{{/* What would start and then lose or refuse something is refused here. */}}
{{- define "ticketwire.check" -}}
{{- $queue := ((.Values.config.queue).url) | default "embedded:" -}}
{{- $store := ((.Values.config.store).url) | default "sqlite:" -}}
{{- if eq .Values.mode "roles" -}}
{{- if hasPrefix "embedded:" $queue -}}
{{- fail "mode `roles` needs a broker, because the embedded queue serves one process: set `config.queue.url` to amqp:// or kafka://, or `mode` to single" -}}
{{- end -}}
{{- if hasPrefix "sqlite:" $store -}}
{{- fail "mode `roles` needs a database that pods share: set `config.store.url` to postgres://, or `mode` to single" -}}
{{- end -}}
{{- if and ((.Values.config.receiver).spool) (not .Values.receiver.persistence.enabled) -}}
{{- fail "`config.receiver.spool` keeps webhooks on the disk of a receiver, which must outlive the pod: set `receiver.persistence.enabled`" -}}
{{- end -}}
{{- end -}}
{{- if or .Values.config.rule .Values.config.include .Values.config.data_dir ((.Values.config.receiver).listen) ((.Values.config.admin).listen) -}}
{{- fail "the chart sets `data_dir` and both `listen` itself, rules are the list `rules`, and `include` has no files to read: take them out of `config`" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "an Ingress needs a host: write it into `ingress.hosts`" -}}
{{- end -}}
{{- end -}}

{{/* The pod of a component: a dict of `root`, `component` and its `settings`. */}}
{{- define "ticketwire.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
metadata:
  annotations:
    # The configuration is read at the start, so another one begins another pod.
    checksum/config: {{ include "ticketwire.toml" $root | sha256sum }}
    {{- with .settings.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "ticketwire.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with .settings.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "ticketwire.serviceAccount" $root }}
  automountServiceAccountToken: false
  # A Service puts variables with its name into every pod; ours begin with TICKETWIRE, too.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .settings.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  containers:
    - name: ticketwire
      image: "{{ $values.image.repository }}:{{ default $root.Chart.AppVersion $values.image.tag }}"
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - serve
        - -c
        - /etc/ticketwire/ticketwire.toml
        {{- with .settings.roles }}
        - --role
        - {{ join "," . | quote }}
        {{- end }}
      env:
        - name: TICKETWIRE_LOG
          value: {{ $values.log | quote }}
        {{- if and (eq .component "worker") (hasPrefix "kafka:" (($values.config.queue).url | default "")) (not (($values.config.queue).instance)) }}
        # A worker that starts again under the same name gets its lanes back without a new distribution.
        - name: TICKETWIRE__QUEUE__INSTANCE
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- if ne .component "worker" }}
        - name: http
          containerPort: 8080
        {{- end }}
        - name: admin
          containerPort: 9080
      startupProbe:
        httpGet: { path: /healthz, port: admin }
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /healthz, port: admin }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: admin }
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- if eq .component "receiver" }}
      lifecycle:
        preStop:
          exec:
            # The door closes at once; until everybody knows, it is held open.
            command: [sleep, "10"]
      {{- end }}
      resources:
        {{- toYaml .settings.resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/ticketwire
          readOnly: true
        - name: data
          mountPath: /var/lib/ticketwire
        - name: tmp
          mountPath: /tmp
        {{- if $values.secrets }}
        - name: secrets
          mountPath: /run/secrets
          readOnly: true
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "ticketwire.fullname" $root }}
    - name: tmp
      emptyDir: { sizeLimit: 256Mi }
    {{- if $values.secrets }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $values.secrets }}
          - secret:
              name: {{ . }}
          {{- end }}
    {{- end }}
    {{- if not (or (eq .component "single") ((.settings.persistence).enabled)) }}
    - name: data
      emptyDir: { sizeLimit: 256Mi }
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if ne .component "single" }}
  topologySpreadConstraints:
    {{- if .settings.topologySpreadConstraints }}
    {{- toYaml .settings.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ticketwire.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .component }}
    {{- end }}
  {{- end }}
  {{- with .settings.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .settings.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .settings.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The claim for /var/lib/ticketwire, from `persistence` of a component. */}}
{{- define "ticketwire.claim" -}}
- metadata:
    name: data
    {{- with .annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    accessModes:
      {{- toYaml .accessModes | nindent 6 }}
    {{- with .storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .size }}
{{- end -}}
