"""Who is alive: SWIM with Lifeguard over authenticated UDP."""
