"""What a new product folder begins with (`harness init`): a recipe, a lab, a scenario, a policy."""
