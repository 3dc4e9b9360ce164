"""What releases before 0.32 logged: one row of `responses` for each prompt."""
