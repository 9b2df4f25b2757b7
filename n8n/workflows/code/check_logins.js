return afterLogins($("What next").first(0).json.state, $input.first().json);
