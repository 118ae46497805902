-- Kubeflow Pipelines checks a version while it is applied, so there is nothing to wait for; afterwards it reports
-- conditions, if anything.
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.status == "False" then
      return {status = "Degraded", message = condition.message or condition.reason or condition.type}
    end
  end
end
-- The webhook of Kubeflow Pipelines sets the owner.
if obj.metadata.ownerReferences == nil then
  return {status = "Healthy", message = "stored, but checked by nobody: Kubeflow Pipelines was not there"}
end
return {status = "Healthy", message = "accepted by Kubeflow Pipelines"}
