return next(beginPage($input.first().json, $getWorkflowStaticData("global"), $runIndex + 1));
