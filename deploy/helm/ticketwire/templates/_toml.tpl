{{/*
The configuration as TOML. Helm's own `toToml` writes whole numbers as fractions (16.0), which the program refuses for counts; and a map has no
order, which rules need, so those come as a list.
*/}}

{{- define "ticketwire.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end -}}
{{- end -}}

{{/* A value on one line. The texts of JSON are texts of TOML. */}}
{{- define "ticketwire.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $members := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $members = append $members (printf "%s = %s" (include "ticketwire.toml.key" $key) (include "ticketwire.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- if $members -}} { {{- " " -}} {{ join ", " $members }} } {{- else -}} {} {{- end -}}
{{- else if kindIs "slice" . -}}
{{- $members := list -}}
{{- range . -}}{{- $members = append $members (include "ticketwire.toml.value" .) -}}{{- end -}}
[{{ join ", " $members }}]
{{- else if kindIs "string" . -}}
{{ toRawJson . }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if eq (float64 (int64 .)) (float64 .) -}}
{{ int64 . }}
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end -}}

{{- define "ticketwire.toml.members" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ include "ticketwire.toml.key" $key }} = {{ include "ticketwire.toml.value" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ticketwire.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "data_dir" "/var/lib/ticketwire" -}}
{{- $_ := set $config "receiver" (merge (dict "listen" "0.0.0.0:8080") ($config.receiver | default dict)) -}}
{{- $_ := set $config "admin" (merge (dict "listen" "0.0.0.0:9080") ($config.admin | default dict)) -}}
# Made from the values of the chart.
{{- range $key, $value := $config }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "ticketwire.toml.key" $key }} = {{ include "ticketwire.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $section, $members := $config }}
{{- if kindIs "map" $members }}
{{- if has $section (list "connection" "sink") }}
{{- range $name, $settings := $members }}
{{- if not (kindIs "invalid" $settings) }}

[{{ $section }}.{{ include "ticketwire.toml.key" $name }}]
{{- include "ticketwire.toml.members" $settings }}
{{- end }}
{{- end }}
{{- else }}

[{{ include "ticketwire.toml.key" $section }}]
{{- include "ticketwire.toml.members" $members }}
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.rules }}

[rule.{{ toRawJson .name }}]
{{- include "ticketwire.toml.members" (omit . "name") }}
{{- end }}
{{ end -}}
