"""The web kit of every app here: pages, sessions, visits, health, faults. Knows neither zone and none of its people."""
