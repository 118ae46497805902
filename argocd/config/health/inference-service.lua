-- Healthy means: the version that Git asks for answers. Argo CD's own check calls an InferenceService healthy while a
-- new version cannot start and the old one serves on.
--
-- In Standard mode KServe copies the reason of the Deployment's condition: NewReplicaSetAvailable once every replica is
-- of the new version, MinimumReplicasAvailable while old ones still answer, ProgressDeadlineExceeded after 10 minutes.
local health = {status = "Progressing", message = "waiting for KServe"}
if obj.status == nil or obj.status.conditions == nil then
  return health
end

local asked = "the version asked for"
local predictor = obj.spec.predictor
if predictor.model ~= nil and predictor.model.storageUri ~= nil then
  asked = predictor.model.storageUri
elseif predictor.containers ~= nil and predictor.containers[1] ~= nil then
  asked = predictor.containers[1].image or asked
end

local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end

if found.Stopped ~= nil and found.Stopped.status == "True" then
  return {status = "Healthy", message = "stopped, as Git asks"}
end

local ready = found.PredictorReady
if ready == nil then
  return health
end
if ready.reason == "ProgressDeadlineExceeded" then
  return {status = "Degraded", message = asked .. " does not start: " .. (ready.message or "") .. " What served before serves on."}
end
if ready.status ~= "True" then
  local failure = obj.status.modelStatus ~= nil and obj.status.modelStatus.lastFailureInfo or nil
  health.message = asked .. " is not ready: " .. (ready.message or ready.reason or "")
  if failure ~= nil and obj.status.modelStatus.transitionStatus == "BlockedByFailedLoad" then
    return {status = "Degraded", message = asked .. " does not load: " .. (failure.message or failure.reason or "")}
  end
  return health
end
if ready.reason ~= "NewReplicaSetAvailable" then
  health.message = asked .. " is starting; an older version still answers"
  return health
end
for kind, condition in pairs(found) do
  if kind ~= "Stopped" and condition.status ~= "True" then
    health.message = kind .. ": " .. (condition.message or condition.reason or condition.status)
    return health
  end
end
return {status = "Healthy", message = asked .. " answers"}
