"""Fonts and text, English or Japanese, of the drawn documents and screens."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from PIL import ImageFont

Maker = Callable[[Random], Any]
"""Draws a random value of a field."""


def listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WORDS = listed(
    "water time people light house number paper order river colour letter answer small early "
    "under again market station summer winter copper garden bottle window travel engine orange "
    "silver ticket signal bridge harbour lemon marble pepper record school street yellow cotton "
    "doctor empire forest guitar hammer island jacket kettle ladder magnet napkin office pencil "
    "quarry rabbit saddle timber urban velvet walnut zipper anchor basket candle desert elbow "
    "fabric gallon helmet insect jungle kernel lizard mirror needle oyster parcel ribbon shovel "
    "tunnel valley wagon yogurt acorn barrel cactus dragon eagle falcon ginger"
)
WORDS_JA = listed(
    "水 時間 光 家 番号 紙 注文 川 色 手紙 答え 小さい 早い 市場 駅 夏 冬 銅 庭 瓶 窓 旅行 機械 "
    "銀 切符 信号 橋 港 檸檬 石 胡椒 記録 学校 通り 黄色 綿 医者 森 楽器 金槌 島 上着 梯子 磁石 "
    "事務所 鉛筆 兎 木材 都市 胡桃 錨 籠 蝋燭 砂漠 布 兜 昆虫 鏡 針 牡蠣 小包 谷 酪農 団栗 樽 竜 "
    "鷲 生姜 りんご さくら たまご やかん みかん カメラ ノート テレビ バター ナイフ コーヒー ガラス"
)
NAMES = listed(
    "Alder Baker Carver Dixon Ellis Fisher Garner Holt Irving Jensen Keller Lowell Mercer Norris "
    "Osborn Parker Quinn Ramsey Sutton Turner Vaughn Weaver Yates Zeller"
)
GIVEN = listed(
    "Anna Boris Clara David Elena Frank Grace Henry Irene James Karin Lucas Maria Nora Oscar Paula"
)
SURNAMES_JA = listed(
    "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 林"
)
GIVEN_JA = listed("太郎 花子 健一 美咲 翔太 陽子 直樹 由美 大輔 恵子 拓也 真理 和夫 千尋 誠 明日香")
PLACES = listed(
    "Ashford Birchton Calder Dunmore Eastleigh Fairview Glenwood Hartley Ivybridge Kingsway "
    "Lakeside Milford Newbury Oakham Penrose Redcliff Stanton Thornby Upton Westbrook"
)
STATIONS_JA = listed(
    "東京 上野 品川 横浜 大宮 千葉 浦和 川崎 目黒 渋谷 新宿 池袋 三田 小岩 京都 大阪 神戸 奈良 仙台"
)
HEADINGS = {
    "Invoice": "請求書", "Receipt": "領収書", "Total": "合計", "Date": "日付", "No.": "番号",
    "Name": "氏名", "Address": "住所", "Phone": "電話", "Item": "品目", "Amount": "金額",
    "Application": "申請書", "Timetable": "時刻表", "Certificate": "修了証", "Ticket": "乗車券",
    "Account": "口座", "Statement": "取引明細", "Balance": "残高", "Seat": "座席", "From": "発",
    "To": "着", "Signature": "署名", "Page": "頁", "Settings": "設定", "Calendar": "予定表",
    "Save": "保存", "Cancel": "取消", "Search": "検索", "Weight": "重量", "Course": "課程",
    "Notes": "備考", "Grade": "評価", "Subject": "科目", "Report": "成績表", "Inbox": "受信箱",
}  # fmt: skip
GLYPHS = (
    "0123456789",
    "abcdefghkmnopqrstuvwxyz",
    "ABCDEFGHKLMNPQRSTUVWXYZ",
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよ",
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨ",
    "水光家紙川色石駅夏冬銅庭窓銀橋港島森布鏡針谷竜鷲林東西南北上下中大山田本木村",
)
"""Glyphs that may replace each other, by row."""

LATIN = {
    "sans": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    "serif": ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    "mono": ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
    "default": ("", ""),
}
"""Regular and bold faces of DejaVu, or Pillow's own font."""
NOTO = (
    ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"),
    ("NotoSerifCJK-Regular.ttc", "NotoSerifCJK-Bold.ttc"),
)
"""Optional fonts, used if installed; IPAexGothic, which embedkit's plots need, is everywhere."""


@cache
def bundled(package: str, folder: str) -> Path:
    """Return a folder of fonts inside an installed package, without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; embedkit depends on it")
    return Path(spec.origin).parent / folder


@cache
def japanese_faces() -> tuple[tuple[str, str], ...]:
    from matplotlib.font_manager import findSystemFonts

    installed = {Path(path).name: path for path in findSystemFonts()}
    gothic = str(bundled("matplotlib_fontja", "fonts/ipaexg.ttf"))
    noto = ((installed[one], installed[two]) for one, two in NOTO if {one, two} <= {*installed})
    return ((gothic, gothic), *noto)


@cache
def font(path: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


@cache
def latin(face: str, bold: bool = False) -> str:
    """Return the path of a face of :data:`LATIN`; empty for Pillow's own font."""
    name = LATIN[face][bold]
    return str(bundled("matplotlib", "mpl-data/fonts/ttf") / name) if name else ""


@dataclass(frozen=True)
class Writing:
    """Return the language of a family, and the function that draws texts in it."""

    japanese: bool

    def face(self, chance: Random) -> tuple[str, str]:
        """Return the paths of a regular and a bold font."""
        if self.japanese:
            return chance.choice(japanese_faces())
        name = chance.choice([*LATIN])
        return latin(name), latin(name, bold=True)

    def heading(self, english: str) -> str:
        return HEADINGS[english] if self.japanese else english

    def words(self, least: int, most: int) -> Maker:
        """Return a number of words; fewer in Japanese, whose glyphs are wider."""

        def make(chance: Random) -> str:
            count = chance.randint(least, most)
            if self.japanese:
                return "".join(chance.choices(WORDS_JA, k=count))
            return " ".join(chance.choices(WORDS, k=count))

        return make

    def title(self, least: int, most: int) -> Maker:
        make = self.words(least, most)
        return lambda chance: make(chance).title()

    def name(self, chance: Random) -> str:
        if self.japanese:
            return f"{chance.choice(SURNAMES_JA)} {chance.choice(GIVEN_JA)}"
        return f"{chance.choice(GIVEN)} {chance.choice(NAMES)}"

    def place(self, chance: Random) -> str:
        return chance.choice(STATIONS_JA if self.japanese else PLACES)

    def company(self, chance: Random) -> str:
        if self.japanese:
            return f"{chance.choice(SURNAMES_JA)}{chance.choice(WORDS_JA)}株式会社"
        return f"{chance.choice(NAMES)} {chance.choice(WORDS).title()} Ltd."

    def address(self, chance: Random) -> str:
        if self.japanese:
            return f"{chance.choice(STATIONS_JA)}{chance.randint(1, 9)}-{chance.randint(1, 30)}"
        return f"{chance.randint(1, 199)} {chance.choice(WORDS).title()} St, {self.place(chance)}"

    def date(self, chance: Random) -> str:
        year, month, day = chance.randint(2015, 2026), chance.randint(1, 12), chance.randint(1, 28)
        if self.japanese:
            return f"{year}年{month}月{day}日"
        return f"{day:02} {'JanFebMarAprMayJunJulAugSepOctNovDec'[3 * month - 3 :][:3]} {year}"

    def money(self, most: int) -> Maker:
        def make(chance: Random) -> str:
            value = chance.randint(most // 50, most)
            return f"¥{value:,}" if self.japanese else f"{value:,}.{chance.randint(0, 99):02}"

        return make


def number(digits: int, prefix: str = "") -> Maker:
    return lambda chance: prefix + "".join(chance.choices(GLYPHS[0], k=digits))


def clock(chance: Random) -> str:
    return f"{chance.randint(5, 23):02}:{chance.randint(0, 59):02}"


def phone(chance: Random) -> str:
    return f"0{chance.randint(10, 99)}-{chance.randint(1000, 9999)}-{chance.randint(1000, 9999)}"


def among(choices: Any) -> Maker:
    kept = list(choices)
    return lambda chance: chance.choice(kept)


def between(low: float, high: float) -> Maker:
    return lambda chance: chance.uniform(low, high)
