"""The mediation service: reads both clouds, compares what is wanted with what is found, makes the target ready."""
