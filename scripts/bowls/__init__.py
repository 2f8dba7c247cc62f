"""Draw photos of ramen, one serving at a time, for make_bowls.py.

stores (servings) -> scene, vessel, toppings (painted in space) -> photos; off_topic draws photos
without a bowl.
"""
