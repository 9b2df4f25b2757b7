const saved = $getWorkflowStaticData("global");
return [{ json: { cursor: saved.cursor ?? "" } }];
