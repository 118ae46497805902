-- Argo CD has had no health of an Application since 1.8: without it the waves of an app of apps do not wait.
local health = {status = "Progressing", message = ""}
if obj.status ~= nil and obj.status.health ~= nil then
  health.status = obj.status.health.status
  health.message = obj.status.health.message or ""
end
return health
