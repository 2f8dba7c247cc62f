"""Draws photos of ramen, a served bowl at a time: what make_bowls.py fills a collection with.

stores (what a store serves) -> scene, vessel, toppings (painted in space) -> photos; off_topic
draws what shows no bowl.
"""
