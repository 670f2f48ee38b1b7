"""Another server measured beside Whimbrel, with the same load: Centrifugo."""
