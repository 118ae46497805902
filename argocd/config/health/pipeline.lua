-- A Pipeline is a name and a description; its API server keeps nothing else about it, and no status. That it was
-- accepted is all there is to know.
return {status = "Healthy", message = "accepted"}
