(** * The rules of Asked.v, quickly

    The same numbers, by other ways: an operand's centre and radius are looked up once for each of
    its occurrences, curves are read from a table, and products and shifts avoid carrying zeros
    along.

    - [noise_and_fit]: [rounding_of] and [fits];
    - [slope_choice], [off_choice]: what Walk.v proposes;
    - [form_rest], [image]: [value_rest], [range_of];
    - [apart]: [change_of] without the pixel itself.

    [noise_and_fit_ok] and so on say so. Rests on FastZ.v and FastCurves.v. *)

From Coq Require Import ZArith List Bool Lia.
From Lastbit Require Import checker.Asked fast.FastZ fast.FastCurves.
Import ListNotations.
Open Scope Z_scope.

(** ** Integers *)

(** A number over 1 as one over [2^100]. *)
Definition times_one : Z -> Z := raise 25.

Lemma times_one_ok z : times_one z = z * one.
Proof. unfold times_one. rewrite raise_ok, Z.shiftl_mul_pow2 by lia. reflexivity. Qed.

(** ** Curves *)

(** [silu_slopes] of Integers.v, by the table; and so on for the others. *)
Definition silu_slopes_fast (low high : Z) : Z * Z :=
  let valley := - (9984 * one / 100000 + 1) in
  let hill := 109984 * one / 100000 + 1 in
  if tabulated low high then
    let (a, b) := silu_slope low in let (c, d) := silu_slope high in
    (if (low <=? -153) && (-154 <=? high) then valley else Z.min a c,
     if (low <=? 154) && (153 <=? high) then hill else Z.max b d)
  else (valley, hill).

Definition sigmoid_slopes_fast (low high : Z) : Z * Z :=
  if tabulated low high then
    let (a, b) := sigmoid_slope low in let (c, d) := sigmoid_slope high in
    (Z.min a c, if (low <=? 0) && (0 <=? high) then quarter else Z.max b d)
  else (0, quarter).

Lemma silu_slopes_ok low high : silu_slopes_fast low high = silu_slopes low high.
Proof. unfold silu_slopes_fast, silu_slopes. now rewrite !silu_slope_ok. Qed.
Lemma sigmoid_slopes_ok low high : sigmoid_slopes_fast low high = sigmoid_slopes low high.
Proof. unfold sigmoid_slopes_fast, sigmoid_slopes. now rewrite !sigmoid_slope_ok. Qed.

Definition silu_dev_fast (m lo hi : Z) : Z :=
  let (least, most) := silu_slopes_fast (cell_below lo) (cell_above hi) in
  let near := ceil_div (Z.max (Z.abs lo) (Z.abs hi)) 2 in
  Z.max (Z.min most (half + near) - m) (m - Z.max least (half - near)).

Definition sigmoid_dev_fast (m lo hi : Z) : Z :=
  let (least, most) := sigmoid_slopes_fast (cell_below lo) (cell_above hi) in
  let reach := Z.max (Z.abs lo) (Z.abs hi) in
  let near := ceil_div (up_100 (reach * reach)) 16 in
  Z.max (Z.min most quarter - m) (m - Z.max least (quarter - near)).

Lemma silu_dev_ok m lo hi : silu_dev_fast m lo hi = silu_dev m lo hi.
Proof. unfold silu_dev_fast, silu_dev. now rewrite silu_slopes_ok. Qed.
Lemma sigmoid_dev_ok m lo hi : sigmoid_dev_fast m lo hi = sigmoid_dev m lo hi.
Proof. unfold sigmoid_dev_fast, sigmoid_dev. now rewrite sigmoid_slopes_ok, up_100_ok. Qed.

Definition sigmoid_values_fast (low high : Z) : Z * Z :=
  if tabulated low high then (fst (sigmoid_value low), snd (sigmoid_value high)) else (0, one).

Definition silu_values_fast (low high hi : Z) : Z * Z :=
  let valley := - (27847 * one / 100000 + 1) in
  if tabulated low high then
    let (a, b) := silu_value low in let (c, d) := silu_value high in
    (if (low <=? -81) && (-82 <=? high) then valley else Z.min a c, Z.max b d)
  else (valley, Z.max hi 0).

Lemma sigmoid_values_ok low high : sigmoid_values_fast low high = sigmoid_values low high.
Proof. unfold sigmoid_values_fast, sigmoid_values. now rewrite !sigmoid_value_ok. Qed.
Lemma silu_values_ok low high hi : silu_values_fast low high hi = silu_values low high hi.
Proof. unfold silu_values_fast, silu_values. now rewrite !silu_value_ok. Qed.

(** ** Sums *)

(** [noise_of_sum]: the rounding of a sum of magnitudes [bs]. *)
Definition noise_fast (bs : list Z) (products whole : Z) : Z :=
  let m := Sorting.sort (filter (fun x => negb (x =? 0)) bs) in
  let n := Z.of_nat (length m) in
  let mass := zsum m in
  let f := Z.min whole mass in
  ceil_div (up_100 (climb_of (Z.shiftr (mass + f + 1) 1) f m + products)) (0xfffffd - n) +
    0x8000000.

Lemma noise_ok bs products whole : noise_fast bs products whole = noise_of_sum bs products whole.
Proof. unfold noise_fast, noise_of_sum. now rewrite up_100_ok. Qed.

(** The sum of the second list where the first has no power of two; as often as terms cost. *)
Fixpoint rounded_of (ws : sparse) (products : list Z) : Z :=
  match ws, products with
  | w :: ws', p :: products' =>
      if power_of_2 (fst w) then rounded_of ws' products' else p + rounded_of ws' products'
  | _, _ => 0
  end.
Fixpoint costs_of (k : Z) (ws : sparse) (products : list Z) : Z :=
  match ws, products with
  | w :: ws', p :: products' => (if power_of_2 (fst w) then
    k * p else (1 + k) * p) + costs_of k ws' products'
  | _, _ => 0
  end.

Section Rules.
Variables (at_ : positive -> row) (look : positive -> Z * Z).
Hypothesis look_ok : forall j, look j = (r_centre (at_ j), r_rad (at_ j)).

(** The largest magnitude of an operand; [size_ok]: it is [mag]. *)
Definition size_of (j : positive) : Z := let (c, r) := look j in Z.abs c + r.

Lemma size_ok j : size_of j = mag at_ j.
Proof. unfold size_of, mag. now rewrite look_ok. Qed.

(** [rounding_of] and [fits] of a unit, at once. *)
Definition noise_and_fit (whole : Z) (o : cunit) : Z * bool :=
  match o with
  | CPixel _ => (0, true)
  | CLinear ws bs over =>
      let ps := map (fun w => quotient_of over (Z.abs (fst w) * size_of (snd w))) ws in
      let weights := zsum (map (fun w => Z.abs (fst w)) ws) in
      let all := ps ++ map (fun b => times_one (Z.abs b)) bs in
      (noise_fast all (match over with None => rounded_of ws ps | Some _ =>
        costs_of (cost_over over) ws ps end) (times_one whole),
       sum_fits all weights && over_fits over weights)
  | CSigmoid j => let x := size_of j in
      (Z.shiftr one (if x <=? Z.shiftr one 27 then 28 else if x <=? Z.shiftr one 6 then 23 else 22),
        true)
  | CSilu j => let x := size_of j in
      ((if x <=? Z.shiftr one 27 then ceil_div x 0x10000000
       else if x <=? Z.shiftr one 6 then ceil_div (3 * x) 0x1000000
       else ceil_div (6 * x) 0x1000000) + 1, true)
  | CGate i j => (ceil_div (up_100 (size_of i * size_of j)) 0x1000000 + 1, true)
  end.

Lemma costs_of_ok ws over : costs_of (cost_over over) ws (zproducts at_ ws over) =
  zcharges at_ ws over.
Proof.
  unfold zcharges, zproducts, cost_of. induction ws as [|w ws IH]; [reflexivity|].
  cbn [map costs_of]. unfold zsum in *.
  cbn [fold_right]. rewrite IH. destruct (power_of_2 (fst w)); [f_equal; f_equal; lia|reflexivity].
Qed.

Lemma rounded_of_ok ws : rounded_of ws (zproducts at_ ws None) = zcharges at_ ws None.
Proof.
  rewrite <- costs_of_ok. unfold zproducts. induction ws as [|w ws IH]; [reflexivity|].
  cbn [map rounded_of costs_of cost_over] in *.
  rewrite IH. destruct (power_of_2 (fst w)); lia.
Qed.

Lemma noise_and_fit_ok whole o : noise_and_fit whole o = (rounding_of at_ whole o, fits at_ o).
Proof.
  destruct o as [p|ws bs over|j|j|i j]; cbn [noise_and_fit rounding_of fits]; cbv zeta;
    rewrite ?size_ok, ?up_100_ok; try reflexivity.
  assert (E : map (fun w => quotient_of over (Z.abs (fst w) * size_of (snd w))) ws =
    zproducts at_ ws over)
    by (apply map_ext; intros; now rewrite size_ok).
  assert (F : map (fun b => times_one (Z.abs b)) bs = map (fun b => one * Z.abs b) bs).
  { apply map_ext. intros b. rewrite times_one_ok. apply Z.mul_comm. }
  rewrite E, F, noise_ok, times_one_ok, (Z.mul_comm whole one). fold (zterms at_ ws bs over).
  destruct over as [c|]; [now rewrite costs_of_ok|now rewrite rounded_of_ok].
Qed.

(** ** What the walk proposes *)

(** The ends of an operand's range. *)
Definition ends_of (j : positive) : Z * Z := let (c, r) := look j in (c - r, c + r).
Lemma ends_ok j : ends_of j = (low at_ j, high at_ j).
Proof. unfold ends_of, low, high. now rewrite look_ok. Qed.

(** [f(z) - m z - b] on the range of unit [j]. *)
Definition rest_around (dev : Z -> Z -> Z -> Z) (value : Z -> Z * Z) (m b : Z) (j : positive) : Z :=
  let (c, r) := look j in let lo := c - r in let hi := c + r in
  let k := anchor c in let p := grid_point k in let (l, h) := value k in
  let d := m * p + times_one b in
  up_100 (dev m (Z.min p lo) (Z.max p hi) * Z.max (hi - p) (p - lo)) +
  up_100 (Z.max (times_one h - d) (d - times_one l)).

Lemma rest_around_ok dev dev' value value' m b j : (forall m lo hi, dev m lo hi = dev' m lo hi) ->
  (forall k, value k = value' k) ->
  rest_around dev value m b j = curve_rest at_ dev' value' m b j.
Proof.
  intros D V. unfold rest_around, curve_rest, low, high. rewrite look_ok. cbv zeta. rewrite V.
  destruct (value' (anchor (r_centre (at_ j)))) as [l h]. rewrite D, !up_100_ok, !times_one_ok.
  do 3 f_equal; lia.
Qed.

(** How far an operand may be from [m]. *)
Definition away_of (m : Z) (j : positive) : Z := let (lo, hi) := ends_of j in
  Z.max (hi - m) (m - lo).
Lemma away_ok m j : away_of m j = away at_ m j.
Proof. unfold away_of, away. now rewrite ends_ok. Qed.

(** [value_rest]: what the affine form with core [m] and offset [b] leaves of a value. *)
Definition form_rest (o : cunit) (m b : Z) : Z :=
  match o with
  | CPixel _ => 255 * half
  | CLinear ws _ over => match over with None => 0 | Some _ => up_100 (counted size_of ws) end
  | CSigmoid j => rest_around sigmoid_dev_fast sigmoid_value m b j
  | CSilu j => rest_around silu_dev_fast silu_value m b j
  | CGate i j => up_100 (away_of m j * size_of i) + Z.abs b
  end.

Lemma form_rest_ok o m b : form_rest o m b = value_rest at_ o m b.
Proof.
  destruct o as [p|ws bs c|j|j|i j]; cbn [form_rest value_rest];
    rewrite ?up_100_ok, ?size_ok, ?away_ok; try reflexivity.
  - destruct c as [c|]; [|reflexivity]. unfold counted. do 2 f_equal. apply map_ext. intros w.
    now rewrite size_ok.
  - apply rest_around_ok; [apply sigmoid_dev_ok|apply sigmoid_value_ok].
  - apply rest_around_ok; [apply silu_dev_ok|apply silu_value_ok].
Qed.

(** [range_of]: the range of a unit whose form is a constant. *)
Definition image (o : cunit) : Z * Z :=
  match o with
  | CSigmoid j => let (lo, hi) := ends_of j in sigmoid_values_fast (cell_below lo) (cell_above hi)
  | CSilu j => let (lo, hi) := ends_of j in silu_values_fast (cell_below lo) (cell_above hi) hi
  | CGate i j =>
      let (il, ih) := ends_of i in let (jl, jh) := ends_of j in
      let a := il * jl in let b := il * jh in let c := ih * jl in let d := ih * jh in
      (low_100 (Z.min (Z.min a b) (Z.min c d)), up_100 (Z.max (Z.max a b) (Z.max c d)))
  | _ => (0, 0)
  end.

Lemma image_ok o : image o = range_of at_ o.
Proof.
  destruct o as [p|ws bs c|j|j|i j]; cbn [image range_of];
    rewrite ?ends_ok, ?up_100_ok, ?low_100_ok; try reflexivity.
  - apply sigmoid_values_ok.
  - apply silu_values_ok.
Qed.

(** ** Changes *)

Variable mv : positive -> Z.

(** [change_of], but for the pixel itself: what the core [m] leaves of a change. *)
Definition apart (o : cunit) (m : Z) : Z :=
  match o with
  | CPixel _ => 0
  | CLinear ws _ over => match over with None => 0 | Some _ => up_100 (counted mv ws) end
  | CSigmoid j => let (lo, hi) := ends_of j in up_100 (sigmoid_dev_fast m lo hi * mv j)
  | CSilu j => let (lo, hi) := ends_of j in up_100 (silu_dev_fast m lo hi * mv j)
  | CGate i j => up_100 (away_of m j * mv i + size_of i * mv j)
  end.

Lemma apart_ok o m : apart o m = change_of at_ 0 mv (match o with CPixel _ =>
  CLinear [] [] None | _ => o end) m.
Proof.
  destruct o as [p|ws bs [c|]|j|j|i j]; cbn [apart change_of];
    rewrite ?ends_ok, ?up_100_ok, ?size_ok, ?away_ok, ?silu_dev_ok, ?sigmoid_dev_ok; reflexivity.
Qed.
End Rules.
