"""Steps of pipelines: one KFP component a folder, each a thin shell around `fairlead`."""
