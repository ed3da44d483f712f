output "workspace_id" {
  description = "The workspace that gets the samples."
  value       = aws_cloudformation_stack.pusher.outputs["WorkspaceId"]
}

output "remote_write_url" {
  description = "Its remote-write address."
  value       = aws_cloudformation_stack.pusher.outputs["RemoteWriteUrl"]
}

output "operator_function_name" {
  description = "The function to plan, backfill and inspect the spool with."
  value       = aws_cloudformation_stack.pusher.outputs["OperatorFunctionName"]
}

output "pusher_log_group_name" {
  description = "Where each push writes its line."
  value       = aws_cloudformation_stack.pusher.outputs["PusherLogGroupName"]
}
