(** * Units meet the conditions of Bound.v

    - [values_unit], [changes_unit]: the exact operation of a unit follows the affine form of its row, if its
      [unit_facts] and those of all units hold.

    Rests on Annotation.v, Curves.v and Rules.v. Stands behind the rules of forward.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals curves.Slopes curves.Enclosure operations.Units.
From Lastbit Require Import network.Duals network.Forms network.Bound network.Rules.
From Lastbit Require Import checker.Program checker.Numbers checker.Annotation checker.Curves.
Import ListNotations.
Open Scope R_scope.

Lemma slack_ok m c : (0 < Z.abs c)%Z -> Rabs (/ real c - real m) <= real (slack m c).
Proof.
  intros Hc. unfold slack. apply Rle_trans with (2 := ceil_div_unit _ _ Hc). rewrite real_abs.
  assert (C : IZR c <> 0) by (intros E; apply eq_IZR_R0 in E; lia).
  assert (P := IZR_lt _ _ Hc). rewrite abs_IZR in *. simpl in P.
  assert (E : / real c - real m = real (one * one - m * c) / IZR c).
  { unfold real. rewrite minus_IZR, !mult_IZR, one_is. field. exact C. }
  rewrite E. unfold Rdiv. rewrite Rabs_mult, Rabs_inv. apply Rle_refl.
Qed.

Section Rows.
Variables (net : cnet) (d : numbers).
Hypothesis facts : forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o o.

Notation at_ := (n_row d).
Notation full := (annotation_of net d).
Notation n := (length (cunits net)).

Section Unit.
Variable k : nat.
Hypothesis Hk : (k < n)%nat.

Notation r := (row_nat d k).
Notation o := (unit_at net k).
Lemma F : unit_facts net d k o o.
Proof. exact (facts_at net d facts k Hk). Qed.

Lemma reads_below j : In j (reads_of o) -> (num j < k)%nat.
Proof. exact (f_reads _ _ _ _ _ F j). Qed.

(** The rules with a core of slope [m]: what [m] leaves of a value and of a change. *)
Section Slope.
Variable m : Z.

Definition core_here : sparse := core_of o m.

Definition sloped : annotation := {|
  centre := centre full; columns := columns full; rho := rho full; err := err full; own := own full; dual := dual full;
  offset _ := real (offset_of o (r_off r));
  kept _ j := coef core_here j;
  core _ j := coef core_here j;
  rest _ := real (value_rest at_ o m (r_off r));
  bend q _ := real (change_of at_ q (n_move d q) o m);
  remainder q _ := real (change_of at_ q (n_move d q) o m)
|}.
Notation ann := sloped.

(** Magnitude and change of an operand, from its row. *)
Lemma mag_operand j : (num j < k)%nat -> 0 <= magnitude ann (num j) <= real (mag at_ j).
Proof.
  intros H. split.
  - apply (magnitude_low net d facts). lia.
  - generalize (magnitude_ok net d facts (num j) ltac:(lia)). now rewrite key_num.
Qed.

Lemma move_operand q j : (q < cpixels net)%nat -> (num j < k)%nat -> 0 <= move ann q (num j) <= real (n_move d q j).
Proof.
  intros Hq H. split.
  - apply (move_low net d facts q (num j) Hq). lia.
  - generalize (move_ok net d facts q (num j) Hq ltac:(lia)). now rewrite key_num.
Qed.

Lemma range_operand j t : (num j < k)%nat -> within ann (num j) t -> real (low at_ j) <= t <= real (high at_ j).
Proof. intros H W. generalize (range_ok net d facts (num j) t ltac:(lia) W). now rewrite key_num. Qed.

Lemma dev_pos j e : (num j < k)%nat -> (forall t, within ann (num j) t -> 0 <= e) -> 0 <= e.
Proof.
  intros H W. apply (W (centre ann (num j))). unfold within. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity.
  apply (magnitude_low net d facts). lia.
Qed.

(** ** Linear cores *)

Lemma one_slope j : core_here = [(m, j)] -> (num j < k)%nat ->
  slope k (kept ann) (num j) (real (m)).
Proof.
  intros E H. split; [exact H|]. intros i _. cbn [kept sloped]. rewrite E, coef_cons. unfold coef, Rules.weight. simpl.
  rewrite Rplus_0_r. now rewrite Nat.eqb_sym.
Qed.

(** What an affine operation with weights [ws] differs from the core in. *)
Lemma affine_gap (w : nat -> R) (l : list (R * nat)) e (f : nat -> R) (g : positive -> Z) js :
  (forall j, w j - kept ann k j = Rules.weight l j) -> l = map (fun j => (e, num j)) js ->
  (forall j, In j js -> 0 <= f (num j) <= real (g j)) ->
  over k (fun j => Rabs (w j - kept ann k j) * f j) <= Rabs e * real (zsum (map g js)).
Proof.
  intros H -> Hf. apply Rle_trans with (over k (fun j => Rabs (Rules.weight (map (fun j => (e, num j)) js) j) * f j)).
  - apply over_le. intros j _. rewrite H. lra.
  - assert (P : forall x, In x (map (fun j => (e, num j)) js) -> 0 <= f (snd x)).
    { intros x Hx. apply in_map_iff in Hx. destruct Hx as (j & <- & Hj). cbn [snd]. now apply Hf. }
    apply Rle_trans with (1 := weight_bound k _ f P). rewrite map_map. cbn [fst snd]. rewrite total_scale. apply Rmult_le_compat_l; [apply Rabs_pos|].
    rewrite zsum_real, map_map. apply total_map_le. intros j Hj. now apply Hf.
Qed.

(** The four affine operations: their weights, and what the core misses of them. *)
Lemma affine_unit : match o with CLinear _ _ | CQuotient _ _ | CMean _ | CAdd _ _ => True | _ => False end ->
  exists w e js, affine k (denote o) w (offset ann k) /\
    (forall j, w j - kept ann k j = Rules.weight (map (fun j => (e, num j)) js) j) /\
    (forall j, In j js -> (num j < k)%nat) /\
    (forall f, 0 <= real (f js) -> Rabs e * real (f js) <= real (match o with
      | CQuotient _ c => up (slack m c * f js)
      | CMean _ => up (slack m (length_of js) * f js) | _ => 0%Z end)) /\
    js = match o with CQuotient j _ => [j] | CMean js => js | _ => [] end.
Proof.
  assert (Rd := reads_below). destruct (f_fits _ _ _ _ _ F) as (whole & _ & _ & Fi & _). cbn [offset kept sloped]. assert (Co : core_here = core_of o m) by reflexivity.
  destruct o as [p|ws bs|j c|js|j|j|i j|i j]; cbn [reads_of fits core_of offset_of denote] in *; try easy; intros _; rewrite ?Co; clear Co.
  - exists (Rules.weight (entries ws)), 0, []. rewrite zsum_real. split; [|split; [|split; [easy|split]]].
    + apply linear_affine. intros j Hj. unfold entries in Hj. rewrite map_map in Hj. apply in_map_iff in Hj.
      destruct Hj as (x & <- & Hx). apply Rd. apply in_map_iff. now exists x.
    + intros j. unfold coef. rewrite Rminus_diag_eq by reflexivity. reflexivity.
    + intros f _. rewrite Rabs_R0, ?real_0. lra.
    + reflexivity.
  - apply Z.leb_le in Fi. assert (Lj := Rd j (or_introl eq_refl)).
    exists (fun i => if (i =? num j)%nat then / real c else 0), (/ real c - real (m)), [j].
    rewrite real_0. split; [now apply quotient_affine|]. split; [|split; [|split]].
    + intros i. rewrite coef_cons. unfold coef, Rules.weight. simpl. rewrite (Nat.eqb_sym i). destruct (num j =? i)%nat; lra.
    + intros i [<-|[]]. exact Lj.
    + intros f Hf. apply Rle_trans with (2 := up_product _ _). apply Rmult_le_compat_r; [exact Hf|]. apply slack_ok.
      unfold one in Fi. lia.
    + reflexivity.
  - apply andb_prop in Fi. destruct Fi as [Fi _]. apply andb_prop in Fi. destruct Fi as [_ Fi]. apply Z.leb_le in Fi.
    assert (Ln : real (length_of js) = INR (length (map num js))).
    { rewrite map_length, INR_IZR_INZ. unfold length_of. rewrite Z.mul_comm. unfold real. rewrite mult_IZR, one_is. lra. }
    exists (Rules.weight (map (fun j => (/ INR (length (map num js)), j)) (map num js))),
      (/ INR (length (map num js)) - real (m)), js. rewrite real_0.
    split; [|split; [|split; [|split]]].
    + apply mean_affine. intros j Hj. apply in_map_iff in Hj. destruct Hj as (x & <- & Hx). now apply Rd.
    + intros j. unfold coef, entries. rewrite !map_map. cbn [fst snd]. generalize (/ INR (length (map num js))) as a.
      intros a. unfold Rules.weight. rewrite !map_map. cbn [fst snd]. clear. induction js as [|i js IH]; simpl; [lra|].
      unfold total in *. simpl. destruct (num i =? j)%nat; lra.
    + exact Rd.
    + intros f Hf. apply Rle_trans with (2 := up_product _ _). apply Rmult_le_compat_r; [exact Hf|]. rewrite <- Ln. apply slack_ok.
      unfold length_of, one. lia.
    + reflexivity.
  - exists (Rules.weight [(1, num i); (1, num j)]), 0, []. rewrite real_0. split; [|split; [|split; [easy|split]]].
    + apply add_affine; apply Rd; [now left|right; now left].
    + intros g. unfold coef, entries. cbn [map fst snd]. rewrite real_one. rewrite Rminus_diag_eq by reflexivity. reflexivity.
    + intros f _. rewrite Rabs_R0, ?real_0. lra.
    + reflexivity.
Qed.

(** ** Values *)

Lemma rest_ok : real (value_rest at_ o m (r_off r)) <= rest ann k.
Proof. apply Rle_refl. Qed.

Lemma bend_ok q : real (change_of at_ q (n_move d q) o m) <= bend ann q k.
Proof. apply Rle_refl. Qed.

Lemma mags_pos js : (forall j, In j js -> (num j < k)%nat) -> 0 <= real (zsum (map (mag at_) js)).
Proof.
  intros H. rewrite zsum_real, map_map. apply total_pos. apply Forall_forall. intros z Hz. apply in_map_iff in Hz.
  destruct Hz as (j & <- & Hj). generalize (mag_operand j (H j Hj)). lra.
Qed.

(** A curve on the range of its operand, from its value and slopes around one point. *)
Lemma curve_value (f df : R -> R) (op : operation) (dev : Z -> Z -> Z -> Z) (val : Z -> Z * Z) (j : positive) : slope_of f df -> (forall v x, ideal op v x = f (x (num j))) ->
  (forall m lo hi t, real lo <= t <= real hi -> Rabs (df t - real m) <= real (dev m lo hi)) ->
  (forall p, let (l, h) := val p in real l <= f (point p) <= real h) ->
  core_here = [(m, j)] -> (num j < k)%nat -> offset ann k = real (r_off r) ->
  real (curve_rest at_ dev val (m) (r_off r) j) <= rest ann k -> value_rule ann k op.
Proof.
  intros D I Dev Val Co L Of Rs v x _ Hx. rewrite I, (slope_read _ _ _ _ _ (one_slope j Co L)), Of.
  assert (W := range_operand j _ L (Hx _ L)). set (t := x (num j)) in *. unfold curve_rest in Rs.
  set (p := anchor (r_centre (at_ j))) in *. specialize (Val p). destruct (val p) as [l h].
  set (b := r_off r) in *. set (q := grid_point p) in *.
  assert (Q : real q = point p) by apply grid_point_ok. rewrite <- Q in Val.
  assert (K := change f df (real m) (real (dev m (Z.min q (low at_ j)) (Z.max q (high at_ j)))) (real q) t D).
  assert (Re : Rabs (t - real q) <= real (Z.max (high at_ j - q) (q - low at_ j))).
  { rewrite real_max, !real_minus. apply Rabs_le.
    generalize (Rmax_l (real (high at_ j) - real q) (real q - real (low at_ j))) (Rmax_r (real (high at_ j) - real q) (real q - real (low at_ j))). lra. }
  assert (S : forall s, Rmin (real q) t <= s <= Rmax (real q) t ->
    Rabs (df s - real m) <= real (dev m (Z.min q (low at_ j)) (Z.max q (high at_ j)))).
  { intros s B. apply Dev. rewrite real_min, real_max. revert B. unfold Rmin, Rmax. repeat destruct Rle_dec; lra. }
  specialize (K S). assert (E0 := Rle_trans _ _ _ (Rabs_pos _) (S (real q) ltac:(unfold Rmin, Rmax; repeat destruct Rle_dec; lra))).
  assert (P := up_product (dev m (Z.min q (low at_ j)) (Z.max q (high at_ j))) (Z.max (high at_ j - q) (q - low at_ j))).
  assert (P2 := Rmult_le_compat_l _ _ _ E0 Re).
  assert (G := up_real (Z.max (h * one - m * q - b * one) (b * one + m * q - l * one))).
  assert (G1 : IZR (h * one - m * q - b * one) <= IZR (Z.max (h * one - m * q - b * one) (b * one + m * q - l * one))) by (apply IZR_le, Z.le_max_l).
  assert (G2 : IZR (b * one + m * q - l * one) <= IZR (Z.max (h * one - m * q - b * one) (b * one + m * q - l * one))) by (apply IZR_le, Z.le_max_r).
  set (gap := Z.max (h * one - m * q - b * one) (b * one + m * q - l * one)) in *.
  rewrite !minus_IZR, !mult_IZR, one_is in G1. rewrite minus_IZR, plus_IZR, !mult_IZR, one_is in G2.
  rewrite real_plus in Rs.
  assert (H1 : real h - real m * real q - real b <= IZR gap / 2 ^ 100 / 2 ^ 100) by (unfold real; lra).
  assert (H2 : real b + real m * real q - real l <= IZR gap / 2 ^ 100 / 2 ^ 100) by (unfold real; lra).
  replace (f t - real b - real m * t) with ((f t - f (real q) - real m * (t - real q)) + (f (real q) - real m * real q - real b)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (Rabs (f (real q) - real m * real q - real b) <= IZR gap / 2 ^ 100 / 2 ^ 100) by (apply Rabs_le; lra). lra.
Qed.

Lemma away_ok j t : (num j < k)%nat -> within ann (num j) t -> Rabs (t - real m) <= real (away at_ m j).
Proof.
  intros H W. assert (Q := range_operand j t H W). unfold away. rewrite real_max, !real_minus.
  apply Rabs_le. generalize (Rmax_l (real (high at_ j) - real m) (real m - real (low at_ j)))
    (Rmax_r (real (high at_ j) - real m) (real m - real (low at_ j))). lra.
Qed.

Lemma product_le e x a b : 0 <= e <= real a -> 0 <= x <= real b -> e * x <= real (up (a * b)).
Proof. intros [E0 E] [X0 X]. apply Rle_trans with (2 := up_product a b). now apply Rmult_le_compat. Qed.

Lemma sloped_values : value_rule ann k (denote o).
Proof.
  assert (Rs := rest_ok). assert (Rd := reads_below). assert (Of : offset ann k = real (offset_of o (r_off r))) by reflexivity.
  assert (Co : core_here = core_of o m) by reflexivity.
  assert (Af := affine_unit). remember o as u eqn:Eu.
  assert (Aff : match u with CLinear _ _ | CQuotient _ _ | CMean _ | CAdd _ _ => True | _ => False end -> value_rule ann k (denote u)).
  { intros T. destruct (Af T) as (w & e & js & A & W & J & S & Ej). apply (affine_value ann k _ w _ A).
    rewrite Rminus_diag_eq, Rabs_R0, Rplus_0_l by reflexivity. apply Rle_trans with (2 := Rs).
    apply Rle_trans with (1 := affine_gap w _ e (magnitude ann) (mag at_) js W eq_refl (fun j Hj => mag_operand j (J j Hj))).
    apply Rle_trans with (1 := S (fun js => zsum (map (mag at_) js)) (mags_pos js J)).
    destruct u; try easy; subst js; cbn [value_rest map zsum fold_right]; rewrite ?Z.add_0_r; apply Rle_refl. }
  destruct u as [p|ws bs|j c|js|j|j|i j|i j]; cbn [denote value_rest reads_of core_of offset_of] in *; try (now apply Aff).
  - assert (E : real (255 * half) = 255 / 2) by (rewrite real_scale, half_is; lra).
    apply pixel_value; [|rewrite Of; exact E|lra]. intros j _. cbn [kept sloped]. now rewrite Co.
  - exact (curve_value sigmoid sigmoid' (Sigmoid (num j)) sigmoid_dev sigmoid_value_at j sigmoid_derive (fun _ _ => eq_refl)
      sigmoid_dev_ok sigmoid_value_at_ok Co (Rd j (or_introl eq_refl)) Of Rs).
  - exact (curve_value silu silu' (Silu (num j)) silu_dev silu_value_at j silu_derive (fun _ _ => eq_refl)
      silu_dev_ok silu_value_at_ok Co (Rd j (or_introl eq_refl)) Of Rs).
  - assert (Li := Rd i ltac:(simpl; auto)). assert (Lj := Rd j ltac:(simpl; auto)).
    assert (Ro := one_slope i Co Li). intros v x _ Hx. rewrite (slope_read _ _ _ _ _ Ro), Of. cbn [ideal].
    assert (Wi := Hx _ Li). assert (Wj := Hx _ Lj). apply Rle_trans with (2 := Rs). rewrite real_plus, real_abs.
    replace (x (num i) * x (num j) - real (r_off r) - real m * x (num i)) with
      ((x (num j) - real m) * x (num i) + - real (r_off r)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. apply Rplus_le_compat_r. rewrite Rabs_mult.
    apply product_le; (split; [apply Rabs_pos|]); [now apply away_ok|].
    apply Rle_trans with (2 := proj2 (mag_operand i Li)). now apply within_magnitude.
Qed.

(** ** Changes *)

Lemma sloped_changes : change_rule (network_of net) ann k (denote o).
Proof.
  assert (Bs := bend_ok). assert (Rd := reads_below).
  assert (Co : core_here = core_of o m) by reflexivity.
  assert (Af := affine_unit). remember o as u eqn:Eu.
  assert (Aff : match u with CLinear _ _ | CQuotient _ _ | CMean _ | CAdd _ _ => True | _ => False end ->
    change_rule (network_of net) ann k (denote u)).
  { intros T. destruct (Af T) as (w & e & js & A & W & J & S & Ej). apply (affine_change (network_of net) ann k _ w _ A).
    intros q Hq. assert (G : over k (fun j => Rabs (w j - kept ann k j) * move ann q j) <= bend ann q k).
    { apply Rle_trans with (2 := Bs q).
      apply Rle_trans with (1 := affine_gap w _ e (move ann q) (n_move d q) js W eq_refl (fun j Hj => move_operand q j Hq (J j Hj))).
      assert (P : 0 <= real (zsum (map (n_move d q) js))).
      { rewrite zsum_real, map_map. apply total_pos. apply Forall_forall. intros z Hz. apply in_map_iff in Hz.
        destruct Hz as (j & <- & Hj). generalize (move_operand q j Hq (J j Hj)). lra. }
      apply Rle_trans with (1 := S (fun js => zsum (map (n_move d q) js)) P).
      destruct u; try easy; subst js; cbn [change_of map zsum fold_right]; rewrite ?Z.add_0_r; apply Rle_refl. }
    split; exact G. }
  destruct u as [p|ws bs|j c|js|j|j|i j|i j]; cbn [denote change_of reads_of core_of] in *; try (now apply Aff).
  - apply pixel_change.
    + intros j _. cbn [kept core sloped]. now rewrite Co.
    + intros q _. specialize (Bs q). cbn [bend remainder sloped] in *.
      destruct (p =? q)%nat; rewrite ?real_one, ?real_0 in Bs; split; exact Bs.
  - assert (L := Rd j (or_introl eq_refl)).
    assert (Ds : slopes_in ann sigmoid' (num j) (real (m)) (real (sigmoid_dev m (low at_ j) (high at_ j)))).
    { intros t W. apply sigmoid_dev_ok. now apply range_operand. }
    assert (D0 : 0 <= real (sigmoid_dev m (low at_ j) (high at_ j))).
    { apply (dev_pos j _ L). intros t W. apply Rle_trans with (2 := Ds t W). apply Rabs_pos. }
    assert (G : exists m e, slope k (kept ann) (num j) m /\ slopes_in ann sigmoid' (num j) m e /\
      forall q, (q < pixels (network_of net))%nat -> e * move ann q (num j) <= bend ann q k).
    { exists (real (m)), (real (sigmoid_dev m (low at_ j) (high at_ j))).
      split; [now apply one_slope|]. split; [exact Ds|]. intros q Hq. apply Rle_trans with (2 := Bs q).
      apply product_le; [split; [exact D0|apply Rle_refl]|exact (move_operand q j Hq L)]. }
    apply sigmoid_change_rule; exact G.
  - assert (L := Rd j (or_introl eq_refl)).
    assert (Ds : slopes_in ann silu' (num j) (real (m)) (real (silu_dev m (low at_ j) (high at_ j)))).
    { intros t W. apply silu_dev_ok. now apply range_operand. }
    assert (D0 : 0 <= real (silu_dev m (low at_ j) (high at_ j))).
    { apply (dev_pos j _ L). intros t W. apply Rle_trans with (2 := Ds t W). apply Rabs_pos. }
    assert (G : exists m e, slope k (kept ann) (num j) m /\ slopes_in ann silu' (num j) m e /\
      forall q, (q < pixels (network_of net))%nat -> e * move ann q (num j) <= bend ann q k).
    { exists (real (m)), (real (silu_dev m (low at_ j) (high at_ j))).
      split; [now apply one_slope|]. split; [exact Ds|]. intros q Hq. apply Rle_trans with (2 := Bs q).
      apply product_le; [split; [exact D0|apply Rle_refl]|exact (move_operand q j Hq L)]. }
    apply silu_change_rule; exact G.
  - assert (Li := Rd i ltac:(simpl; auto)). assert (Lj := Rd j ltac:(simpl; auto)).
    assert (A0 : 0 <= real (away at_ m j)).
    { apply (dev_pos j _ Lj). intros t W. apply Rle_trans with (2 := away_ok j t Lj W). apply Rabs_pos. }
    assert (G : exists s0 e, slope k (kept ann) (num i) s0 /\ Rules.away ann (num j) s0 e /\
      forall q, (q < pixels (network_of net))%nat ->
        e * move ann q (num i) + magnitude ann (num i) * move ann q (num j) <= bend ann q k).
    { exists (real (m)), (real (away at_ m j)). split; [now apply one_slope|].
      split; [intros t W; now apply away_ok|]. intros q Hq. apply Rle_trans with (2 := Bs q).
      apply Rle_trans with (2 := up_real _). rewrite plus_IZR, !mult_IZR.
      assert (M1 := move_operand q i Hq Li). assert (M2 := move_operand q j Hq Lj). assert (X := mag_operand i Li).
      assert (P1 : real (away at_ m j) * move ann q (num i) <= real (away at_ m j) * real (n_move d q i))
        by (apply Rmult_le_compat_l; lra).
      assert (P2 : magnitude ann (num i) * move ann q (num j) <= real (mag at_ i) * real (n_move d q j))
        by (apply Rmult_le_compat; lra).
      unfold real in P1, P2 |- *. lra. }
    apply (gate_change (network_of net) ann k (num i) (num j) Lj); exact G.
Qed.
End Slope.

(** ** Boxes *)

Lemma bilinear a b x t : a <= x <= b -> Rmin (a * t) (b * t) <= x * t <= Rmax (a * t) (b * t).
Proof.
  intros [A B]. destruct (Rle_or_lt 0 t) as [T|T].
  - assert (a * t <= x * t) by now apply Rmult_le_compat_r. assert (x * t <= b * t) by now apply Rmult_le_compat_r.
    split; [apply Rle_trans with (1 := Rmin_l _ _); assumption|apply Rle_trans with (2 := Rmax_r _ _); assumption].
  - assert (b * t <= x * t) by (apply Rmult_le_compat_neg_l with (r := t) in B; lra).
    assert (x * t <= a * t) by (apply Rmult_le_compat_neg_l with (r := t) in A; lra).
    split; [apply Rle_trans with (1 := Rmin_r _ _); assumption|apply Rle_trans with (2 := Rmax_l _ _); assumption].
Qed.

Lemma down_real a : real (Z.shiftr a 100) <= IZR a / 2 ^ 100 / 2 ^ 100.
Proof.
  generalize (shift_down a 100 ltac:(lia)). change (2 ^ 100)%Z with one. rewrite one_is. unfold real. lra.
Qed.

Lemma product_range a b c e x t : real a <= x <= real b -> real c <= t <= real e ->
  real (Z.shiftr (Z.min (Z.min (a * c) (a * e)) (Z.min (b * c) (b * e))) 100) <= x * t <=
  real (up (Z.max (Z.max (a * c) (a * e)) (Z.max (b * c) (b * e)))).
Proof.
  intros Hx Ht. destruct (bilinear _ _ x t Hx) as [L H].
  destruct (bilinear _ _ t (real a) Ht) as [La Ha]. destruct (bilinear _ _ t (real b) Ht) as [Lb Hb].
  rewrite !(Rmult_comm _ (real a)) in La, Ha. rewrite !(Rmult_comm _ (real b)) in Lb, Hb.
  assert (P : forall y z, real y * real z = IZR (y * z) / 2 ^ 100 / 2 ^ 100) by (intros; unfold real; rewrite mult_IZR; lra).
  rewrite !P in La, Ha, Lb, Hb. split.
  - apply Rle_trans with (1 := down_real _). set (w := Z.min _ _).
    assert (W : forall z, (w <= z)%Z -> IZR w / 2 ^ 100 / 2 ^ 100 <= IZR z / 2 ^ 100 / 2 ^ 100) by (intros z Hz; apply IZR_le in Hz; lra).
    apply Rle_trans with (2 := L). apply Rmin_glb; [apply Rle_trans with (2 := La)|apply Rle_trans with (2 := Lb)];
      apply Rmin_glb; apply W; unfold w; lia.
  - apply Rle_trans with (2 := up_real _). set (w := Z.max _ _).
    assert (W : forall z, (z <= w)%Z -> IZR z / 2 ^ 100 / 2 ^ 100 <= IZR w / 2 ^ 100 / 2 ^ 100) by (intros z Hz; apply IZR_le in Hz; lra).
    apply Rle_trans with (1 := H). apply Rmax_lub; [apply Rle_trans with (1 := Ha)|apply Rle_trans with (1 := Hb)];
      apply Rmax_lub; apply W; unfold w; lia.
Qed.

Lemma box_ok v x : may_box o = true -> (forall j, (j < k)%nat -> within full j (x j)) ->
  let (l, h) := range_of at_ o in real l <= ideal (denote o) v x <= real h.
Proof.
  intros B Hx. assert (Rd := reads_below). revert B Rd. generalize o as u.
  intros u B Rd. destruct u as [p|ws bs|j c|js|j|j|i j|i j]; try discriminate B; cbn [range_of denote ideal reads_of] in Rd |- *.
  - apply sigmoid_values_ok. apply (range_operand 0%Z); [now apply Rd; left|]. apply Hx. now apply Rd; left.
  - apply silu_values_ok. apply (range_operand 0%Z); [now apply Rd; left|]. apply Hx. now apply Rd; left.
  - apply product_range; apply (range_operand 0%Z); try apply Hx; apply Rd; simpl; auto.
Qed.

Lemma boxed_ok v x : r_box r = true -> (forall j, (j < k)%nat -> within full j (x j)) ->
  Rabs (ideal (denote o) v x - offset full k) <= rest full k.
Proof.
  intros B Hx. assert (Fr := F). assert (M := f_box _ _ _ _ _ Fr B). assert (K := box_ok v x M Hx).
  assert (Rs := f_rest _ _ _ _ _ Fr). unfold rest_of in Rs. rewrite B in Rs. destruct (range_of at_ o) as [l h].
  apply real_le in Rs. rewrite real_max, !real_minus in Rs. cbn [offset rest annotation_of].
  assert (E : offset_of o (r_off r) = r_off r) by (clear - M; destruct o; try discriminate M; reflexivity). rewrite E.
  apply Rabs_le. generalize (Rmax_l (real h - real (r_off r)) (real (r_off r) - real l))
    (Rmax_r (real h - real (r_off r)) (real (r_off r) - real l)). lra.
Qed.

Lemma kept_unboxed : r_box r = false -> kept full k = coef (core_here (r_slope r)).
Proof. intros B. cbn [kept annotation_of]. unfold kept_at, kept_of. now rewrite B. Qed.

Lemma kept_boxed x : r_box r = true -> read_through (kept full) x k = 0.
Proof.
  intros B. unfold read_through. rewrite (over_cut k 0); [reflexivity|lia|]. intros j _.
  cbn [kept annotation_of]. unfold kept_at, kept_of. rewrite B. unfold coef, Rules.weight. simpl. ring.
Qed.

(** ** The unit, boxed or not *)

Lemma values_unit : value_rule full k (denote o).
Proof.
  intros v x Hv Hx. destruct (r_box r) eqn:B.
  - rewrite (kept_boxed x B), Rminus_0_r. now apply boxed_ok.
  - assert (S := sloped_values (r_slope r) v x Hv Hx). assert (Rs := f_rest _ _ _ _ _ F). unfold rest_of in Rs.
    rewrite B in Rs. apply real_le in Rs. unfold read_through. rewrite (kept_unboxed B).
    apply Rle_trans with (1 := S). exact Rs.
Qed.

Lemma core_0 x : may_box o = true -> read_through (kept (sloped 0)) x k = 0.
Proof.
  intros B. unfold read_through. rewrite (over_cut k 0); [reflexivity|lia|]. intros j _. cbn [kept sloped]. unfold core_here.
  clear - B. destruct o; try discriminate B; cbn [core_of]; rewrite coef_cons, real_0; unfold coef, Rules.weight; simpl;
    destruct (num _ =? j)%nat; ring.
Qed.

Lemma changes_unit : change_rule (network_of net) full k (denote o).
Proof.
  intros q v v' x x' Hq Hv Hv' Hn Hx D. assert (Fr := F).
  assert (S : forall m, Rabs (ideal (denote o) v' x' - ideal (denote o) v x - read_through (kept (sloped m)) D k) <=
    real (change_of at_ q (n_move d q) o m)).
  { intros m. exact (proj1 (sloped_changes m q v v' x x' Hq Hv Hv' Hn Hx)). }
  split.
  - assert (Bs := f_bend _ _ _ _ _ Fr q Hq). unfold bend_by in Bs. apply Rle_trans with (2 := real_le _ _ Bs).
    destruct (r_box r) eqn:B.
    + rewrite (kept_boxed D B), Rminus_0_r. assert (M := f_box _ _ _ _ _ Fr B).
      assert (S0 := S 0%Z). rewrite (core_0 D M), Rminus_0_r in S0.
      rewrite real_min, real_scale. apply Rmin_glb; [|exact S0].
      assert (V := boxed_ok v x B (fun j Hj => proj1 (Hx j Hj))).
      assert (V' := boxed_ok v' x' B (fun j Hj => proj1 (proj2 (Hx j Hj)))).
      cbn [rest annotation_of] in V, V'.
      replace (ideal (denote o) v' x' - ideal (denote o) v x) with
        ((ideal (denote o) v' x' - offset full k) + - (ideal (denote o) v x - offset full k)) by ring.
      apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. lra.
    + unfold read_through. rewrite (kept_unboxed B). exact (S (r_slope r)).
  - apply Rle_trans with (2 := real_le _ _ (f_rem _ _ _ _ _ Fr q Hq)). exact (S (r_slope r)).
Qed.
End Unit.
End Rows.
