"""How long tests wait for what must happen. Only a test that fails waits so long, so it is far more than it takes,
even while others keep all cores busy."""

PATIENCE_S = 60.0
