return afterDeadLetters($("What next").first(1).json.state, $input.all().map((item) => item.json));
