"""OpenTelemetry spans of a run, made from its records. Needs the extra `otel`; nothing else imports this."""
