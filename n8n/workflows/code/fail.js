throw new Error($input.first().json.error);
