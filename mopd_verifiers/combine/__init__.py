"""The verifier `combine`: several verifiers that judge as one."""
