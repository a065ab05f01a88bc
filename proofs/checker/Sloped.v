(** * Units with a core: the affine form that a slope makes of a unit

    - [sloped]: the annotation in which unit [k] has the core of slope [m];
    - [affine_unit]: the four affine operations, and what a core misses of them;
    - [sloped_values], [sloped_changes]: with it, values and changes of the unit follow this form, whatever [m] is.

    Rests on Annotation.v, Curves.v and Rules.v. Rows.v takes it to the rows of the checker. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals curves.Slopes curves.Enclosure operations.Units.
From Lastbit Require Import network.Duals network.Forms network.Bound network.Rules.
From Lastbit Require Import checker.Program checker.Numbers checker.Annotation checker.Curves.
Import ListNotations.
Open Scope R_scope.

Section Sloped.
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
End Unit.
End Sloped.
