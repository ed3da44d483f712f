variable "name" {
  description = "The name of the stack."
  type        = string
  default     = "lambda-remote-write"
}

variable "release" {
  description = "The version of the release, as 0.1.0."
  type        = string
}

variable "release_folder" {
  description = "The folder with the files of the release."
  type        = string
}

variable "artefact_bucket" {
  description = "A bucket in this region for the files of the release and the config. It exists already."
  type        = string
}

variable "config" {
  description = "The path of the config. Without remote_write it writes to the stack's workspace."
  type        = string
  default     = "pusher.yaml"
}

variable "workspace_id" {
  description = "The workspace to write to. Empty creates one."
  type        = string
  default     = ""
}

variable "architecture" {
  description = "arm64 or x86_64."
  type        = string
  default     = "arm64"
}

variable "runtime" {
  description = "python3.13 or python3.14."
  type        = string
  default     = "python3.13"
}

variable "parameters" {
  description = "More parameters of the template, as { Interval = \"5m\" }. A list is one text with commas."
  type        = map(string)
  default     = {}
}
