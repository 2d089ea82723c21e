"""What the hub's pages and the hospital's console both speak: HTTP. Knows neither zone and no table."""
