# The stack of a release, from Terraform: uploads the files of the release and the config, and creates the stack.

terraform {
  required_version = ">= 1.4"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

locals {
  release  = "lambda-remote-write-${var.release}"
  prefix   = "${local.release}/"
  template = "${local.release}.yaml"
  files = toset([
    local.template,
    "${local.release}-backfill.asl.json",
    "${local.release}-${var.architecture}-${var.runtime}.zip",
  ])
}

data "aws_s3_bucket" "artefacts" {
  bucket = var.artefact_bucket
}

resource "aws_s3_object" "release" {
  for_each    = local.files
  bucket      = data.aws_s3_bucket.artefacts.id
  key         = "${local.prefix}${each.value}"
  source      = "${var.release_folder}/${each.value}"
  source_hash = filesha256("${var.release_folder}/${each.value}")
}

# The functions read it at their next run: a new config needs no deployment.
resource "aws_s3_object" "config" {
  bucket      = data.aws_s3_bucket.artefacts.id
  key         = "${var.name}/pusher.yaml"
  source      = var.config
  source_hash = filesha256(var.config)
}

resource "aws_cloudformation_stack" "pusher" {
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.artefacts.bucket_regional_domain_name}/${local.prefix}${local.template}"
  # For the roles of the functions, and for the transform of SAM.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters = merge({
    ArtefactBucket  = data.aws_s3_bucket.artefacts.id
    ArtefactPrefix  = local.prefix
    Architecture    = var.architecture
    Runtime         = var.runtime
    WorkspaceId     = var.workspace_id
    Config          = "s3://${aws_s3_object.config.bucket}/${aws_s3_object.config.key}"
    ConfigObjectArn = aws_s3_object.config.arn
  }, var.parameters)

  depends_on = [aws_s3_object.release]
}
