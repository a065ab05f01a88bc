(* Coq's machine integers (Uint63) as OCaml's: 63 bits, unsigned, modulo 2^63. OCaml's own are the same
   bits, read as signed numbers, so that only order, division and the upper half of a product differ. *)
type t = int

let of_int (x : int) : t = x
let add = ( + )
let sub = ( - )
let mul = ( * )
let l_and = ( land )
let l_or = ( lor )
let l_xor = ( lxor )
let equal (x : t) (y : t) = x = y
let lt (x : t) (y : t) = x lxor min_int < y lxor min_int
let le (x : t) (y : t) = x lxor min_int <= y lxor min_int
let l_sl x n = if lt n 63 then x lsl n else 0
let l_sr x n = if lt n 63 then x lsr n else 0

(* x / 0 is 0. *)
let div x y =
  if y = 0 then 0
  else if y < 0 then if lt x y then 0 else 1
  else if x >= 0 then x / y
  else
    let q = ((x lsr 1) / y) lsl 1 in
    if lt (x - (q * y)) y then q else q + 1

(* x mod 0 is x. *)
let rem x y = if y = 0 then x else x - (div x y * y)

(* Upper and lower 63 bits of x y, from limbs of 21 bits: a column of them is below 2^45. *)
let mulc x y =
  let limb v k = (v lsr (21 * k)) land 0x1fffff in
  let column k carry =
    let sum = ref carry in
    for i = max 0 (k - 2) to min 2 k do
      sum := !sum + (limb x i * limb y (k - i))
    done;
    !sum in
  let word from carry =
    let c0 = column from carry in
    let c1 = column (from + 1) (c0 lsr 21) in
    let c2 = column (from + 2) (c1 lsr 21) in
    let low c = c land 0x1fffff in
    (low c0 lor (low c1 lsl 21) lor (low c2 lsl 42), c2 lsr 21) in
  let low, carry = word 0 0 in
  let high, _ = word 3 carry in
  (high, low)
