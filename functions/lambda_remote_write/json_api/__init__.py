"""A JSON page becomes samples: decoded, mapped, page after page."""
